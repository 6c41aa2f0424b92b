/** What an append is answered, and when. */
import { LIMITS, type MillraceError } from '@millrace/record'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import type { Appended } from './partition.ts'
import { batch, idempotent, PartitionFixture, PRODUCER_A, PRODUCER_B, retried } from './testing/partition-fixture.ts'

let at: PartitionFixture
beforeEach(async () => {
  at = await PartitionFixture.create()
  at.group.lead()
})

/** Answers that take a round to the other replicas have none at once. */
async function answered(answers: string[]): Promise<string[]> {
  expect(answers).toEqual([])
  await new Promise(resolve => setImmediate(resolve))
  return answers
}

describe('append', () => {
  test('is answered once it is committed, with dense offsets', () => {
    const answers = at.append(batch('abc'), batch('d'), batch('ef'))
    expect(answers).toEqual([])
    at.group.commit(2)
    expect(answers).toEqual(['0+3', '3+1'])
    at.group.commit()
    expect(answers).toEqual(['0+3', '3+1', '4+2'])
    expect(at.replica.highWatermark).toBe(6)
  })

  test('answers with the leader’s time', () => {
    let appended: Appended | MillraceError | undefined
    at.replica.append(batch('a'), answer => {
      appended = answer
    })
    at.group.commit()
    expect(appended).toMatchObject({ timestamp: at.group.committed.at(-1)!.header.timestamp })
  })

  test('on a follower names the leader', () => {
    at.group.stepDown('unknown')
    at.replica.append(batch('a'), answer => {
      expect(answer).toMatchObject({ code: 'NOT_LEADER', details: { leaderNode: 2 }, retryable: true })
    })
    expect.assertions(1)
  })

  test('distinguishes no leader from a leader that is starting', () => {
    at.group.leading = false
    expect(at.append(batch('a'))).toEqual(['LEADER_STARTING'])
    at.group.leaderNode = 0
    expect(at.append(batch('a'))).toEqual(['NO_LEADER'])
  })

  test.each([
    ['noLeader', 'NO_LEADER'],
    ['transferring', 'NO_LEADER'],
    ['starting', 'LEADER_STARTING'],
    ['uncommittedBytesMax', 'THROTTLED'],
    ['diskFull', 'DISK_FULL'],
    ['halted', 'PARTITION_HALTED'],
    ['localMessage', 'INTERNAL'],
  ] as const)('a proposal that the node drops as %s is %s, and nothing is remembered of it', (reason, code) => {
    at.group.refusal = { type: 'dropped', reason, message: 'no' }
    expect(at.append(idempotent('a', 0))).toEqual([code])
    at.group.refusal = undefined
    const answers = at.append(idempotent('a', 0))
    at.group.commit()
    expect(answers).toEqual(['0+1'])
  })

  test('of another leader’s making is not stored where another entry took its place', () => {
    const answers = at.append(batch('a'), idempotent('b', 0), idempotent('b', 0))
    at.group.stepDown('replaced')
    expect(answers).toEqual(['NOT_LEADER', 'NOT_LEADER', 'NOT_LEADER'])
  })

  test('is unknown where nobody can tell', () => {
    const answers = at.append(batch('a'), idempotent('b', 0), idempotent('b', 0))
    at.group.stepDown('unknown')
    expect(answers).toEqual(['LEADERSHIP_LOST', 'LEADERSHIP_LOST', 'LEADERSHIP_LOST'])
  })

  test('that commits after its leader stepped down is still answered as stored', () => {
    const answers = at.append(batch('a'))
    at.group.stepDown('open')
    at.group.commit()
    expect(answers).toEqual(['0+1'])
  })

  test('on a halted replica is refused for good', () => {
    at.group.halt('bad chain')
    expect(at.append(batch('a'))).toEqual(['PARTITION_HALTED'])
  })

  test.each([
    ['no record', batch('')],
    ['a checksum out of range', batch('a', { payloadCrc: -1 })],
    ['a short producer id', idempotent('a', 0, 0, new Uint8Array(15))],
    ['the producer id that stands for none', idempotent('a', 0, 0, new Uint8Array(16))],
    ['a sequence out of range', idempotent('a', 2 ** 32)],
    ['an epoch out of range', idempotent('a', 0, 1.5)],
  ])('with %s is an invalid argument', (_name, bad) => {
    expect(at.append(bad)).toEqual(['INVALID_ARGUMENT'])
  })

  test('above the limit of a record set is refused with the limit named', () => {
    const payload = new Uint8Array(LIMITS.recordSetBytesMax + 1)
    at.replica.append(batch('a', { payload }), answer => {
      expect(answer).toMatchObject({ code: 'RECORD_TOO_LARGE', message: expect.stringContaining('2097152') })
    })
    expect.assertions(1)
  })
})

describe('idempotence', () => {
  test('a duplicate answers where it is stored', () => {
    at.append(batch('xx'), idempotent('ab', 0), idempotent('cd', 1))
    at.group.commit()
    expect(at.append(idempotent('ab', 0), idempotent('cd', 1))).toEqual(['=2+2', '=4+2'])
    expect(at.replica.highWatermark).toBe(6)
  })

  test('retry of a batch in flight answered before it is committed', () => {
    const first = at.append(idempotent('ab', 0))
    const retry = at.append(idempotent('ab', 0))
    expect(retry).toEqual([])
    at.group.commit()
    expect([first, retry]).toEqual([['0+2'], ['=0+2']])
  })

  test('duplicate after retry on a new leader', async () => {
    at.append(idempotent('ab', 0))
    at.group.stepDown('open')
    at.group.commit()
    at.group.lead()
    const retry = at.append(idempotent('ab', 0))
    expect(retry).toEqual(['=0+2'])
  })

  test('a gap is refused, and what follows once it is filled is taken', async () => {
    const answers = at.append(idempotent('a', 0), idempotent('c', 2), idempotent('b', 1), idempotent('c', 2))
    expect(await answered(answers)).toEqual(['PRODUCER_SEQUENCE_GAP'])
    at.group.commit()
    expect(answers).toEqual(['PRODUCER_SEQUENCE_GAP', '0+1', '1+1', '2+1'])
  })

  test('a leader that was deposed unawares finds no gap', async () => {
    at.append(idempotent('a', 0))
    at.group.commit()
    vi.spyOn(at.group, 'readIndex').mockRejectedValue(new Error('no quorum'))
    expect(await answered(at.append(idempotent('c', 2)))).toEqual(['LEADER_STARTING'])
    at.group.leaderNode = 2
    expect(await answered(at.append(idempotent('c', 2)))).toEqual(['NOT_LEADER'])
  })

  test('an unknown producer with a sequence above 0 is never accepted', async () => {
    expect(await answered(at.append(idempotent('a', 1)))).toEqual(['PRODUCER_UNKNOWN'])
  })

  test('a leader that was deposed unawares calls no producer unknown', async () => {
    vi.spyOn(at.group, 'readIndex').mockRejectedValue(new Error('no quorum'))
    expect(await answered(at.append(idempotent('a', 1)))).toEqual(['LEADER_STARTING'])
  })

  test('a new epoch starts at sequence 0 and fences the old one', async () => {
    at.append(idempotent('a', 0), idempotent('b', 1))
    at.group.commit()
    const answers = at.append(idempotent('c', 1, 1), idempotent('c', 0, 1))
    expect(await answered(answers)).toEqual(['PRODUCER_SEQUENCE_GAP'])
    at.group.commit()
    expect(answers).toEqual(['PRODUCER_SEQUENCE_GAP', '2+1'])
    expect(at.append(idempotent('d', 2, 0), idempotent('a', 0, 0))).toEqual(['PRODUCER_FENCED', 'PRODUCER_FENCED'])
  })

  test('a fence that is in flight is answered only once it is committed', () => {
    at.append(idempotent('a', 0))
    at.group.commit()
    at.append(idempotent('b', 0, 1))
    const zombie = at.append(idempotent('c', 1, 0))
    expect(zombie).toEqual([])
    at.group.commit()
    expect(zombie).toEqual(['PRODUCER_FENCED'])
  })

  test('a fence that vanishes with its leader fenced nobody', () => {
    at.append(idempotent('b', 0, 1))
    const zombie = at.append(idempotent('c', 0, 0))
    at.group.stepDown('replaced')
    expect(zombie).toEqual(['NOT_LEADER'])
  })

  test('two producers with one configured id', () => {
    at.append(idempotent('a', 0), idempotent('b', 1))
    at.group.commit()
    expect(at.append(idempotent('z', 1), idempotent('a', 0))).toEqual(['PRODUCER_CONFLICT', '=0+1'])
    const inFlight = at.append(idempotent('c', 2), idempotent('other', 2))
    expect(inFlight).toEqual([])
    at.group.commit()
    expect(inFlight).toEqual(['2+1', 'PRODUCER_CONFLICT'])
  })

  test('the last batches are remembered, at least as many as may be in flight', () => {
    const remembered = LIMITS.producerRememberedBatches
    expect(remembered).toBeGreaterThanOrEqual(LIMITS.producerInflightBatchesMax)
    for (let i = 0; i <= remembered; i++) {
      at.append(idempotent('a', i))
      at.group.commit()
    }
    expect(at.append(idempotent('a', 1), idempotent('a', 0))).toEqual(['=1+1', 'PRODUCER_CONFLICT'])
  })

  test('more in flight than is remembered is throttled', () => {
    const answers = at.append(...Array.from({ length: 9 }, (_, i) => idempotent('a', i)))
    expect(answers).toEqual(['THROTTLED'])
  })

  test('leadership regained does not remember what it expected before', () => {
    at.append(idempotent('a', 0), idempotent('b', 1))
    at.group.stepDown('open')
    at.group.commit(1)
    at.group.proposals = []
    expect(at.machine.accepting).toBe(false)
    const { nextOffset } = at.machine
    at.machine.leadership({ type: 'started', term: 9, nextOffset })
    expect(at.machine.decide(idempotent('b', 1), '\n'.repeat(16)).type).toBe('accept')
  })
})

describe('expectations', () => {
  const expecting = (text: string, offset: number) => batch(text, { expect: { type: 'partitionOffset', offset } })

  test('hold against everything accepted before', () => {
    const answers = at.append(batch('ab'), expecting('c', 2), expecting('d', 3))
    at.group.commit()
    expect(answers).toEqual(['0+2', '2+1', '3+1'])
  })

  test('that are refused for what is committed are answered at once', () => {
    at.append(batch('ab'))
    at.group.commit()
    expect(at.append(expecting('c', 1))).toEqual(['EXPECTATION_FAILED'])
  })

  test('of more than there is are refused once this replica is known to lead still', async () => {
    at.append(batch('ab'))
    at.group.commit()
    expect(await answered(at.append(expecting('c', 3)))).toEqual(['EXPECTATION_FAILED'])
    vi.spyOn(at.group, 'readIndex').mockRejectedValue(new Error('no quorum'))
    at.group.leaderNode = 2
    expect(await answered(at.append(expecting('c', 3)))).toEqual(['NOT_LEADER'])
  })

  test('refused expectation whose cause vanishes with the old leader', () => {
    at.append(batch('ab'))
    const beaten = at.append(expecting('c', 0))
    expect(beaten).toEqual([])
    at.group.stepDown('unknown')
    expect(beaten).toEqual(['NOT_LEADER'])
  })

  test('are refused once the entry that beat them is committed', () => {
    at.append(batch('ab'), batch('c'))
    const beaten = at.append(expecting('x', 1))
    at.group.commit(1)
    expect(beaten).toEqual(['EXPECTATION_FAILED'])
  })

  test('do not stand against a retry of the batch itself', () => {
    const conditional = { ...idempotent('a', 0), expect: { type: 'partitionOffset', offset: 0 } } as const
    at.append(conditional)
    at.group.commit()
    expect(at.append(conditional)).toEqual(['=0+1'])
  })

  test.each([{ type: 'keyOffset', offset: 1 }, { type: 'keyAbsent' }] as const)(
    'of $type are named as unsupported',
    e => {
      at.replica.append(batch('a', { expect: e }), answer => {
        expect(answer).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining(e.type) })
      })
      expect.assertions(1)
    },
  )
})

test('answers that wait for one batch are bounded', () => {
  at.append(idempotent('a', 0))
  const answers = at.append(...Array.from({ length: 65 }, () => idempotent('a', 0)))
  expect(answers).toEqual(['THROTTLED'])
  at.group.commit()
  expect(answers).toHaveLength(65)
})

test('a producer that was forgotten between proposal and apply begins again', async () => {
  at = await PartitionFixture.create(1)
  at.group.lead()
  at.append(idempotent('a', 0))
  at.group.commit()
  const answers = at.append(batch('-'), idempotent('b', 0, 0, PRODUCER_B), idempotent('c', 1, 0, PRODUCER_A))
  at.group.commit()
  expect(answers).toEqual(['1+1', '2+1', '3+1'])
  expect(await answered(at.append(idempotent('b', 1, 0, PRODUCER_B)))).toEqual(['PRODUCER_UNKNOWN'])
  expect(at.append(idempotent('c', 1, 0, PRODUCER_A))).toEqual(['=3+1'])
})

describe('a first batch that is sent again', () => {
  /** Two producers are remembered; the third one makes the partition forget the first. */
  async function forgetting(): Promise<void> {
    at = await PartitionFixture.create(2)
    at.group.lead()
    at.append(idempotent('a', 0))
    at.group.commit()
    for (const id of [1, 2]) at.append(idempotent('-', 0, 0, new Uint8Array(16).fill(id)))
    at.group.commit()
  }

  test('is not taken for a new producer where the partition may have forgotten it', async () => {
    await forgetting()
    const answers: (Appended | MillraceError)[] = []
    at.replica.append(retried('a', 0), answer => answers.push(answer))
    await vi.waitFor(() => expect(answers).toMatchObject([{ code: 'PRODUCER_UNKNOWN', outcome: 'unknown' }]))
    expect(at.append(idempotent('a', 0, 1))).toEqual([])
    at.group.commit()
    expect(at.group.committed.at(-1)?.header).toMatchObject({ producerEpoch: 1, sequence: 0 })
  })

  test('is refused only by a leader that still leads', async () => {
    await forgetting()
    vi.spyOn(at.group, 'readIndex').mockRejectedValue(new Error('no quorum'))
    expect(await answered(at.append(retried('a', 0)))).toEqual(['LEADER_STARTING'])
  })

  test('is taken where nothing was ever forgotten: its first attempt is not stored', () => {
    const answers = at.append(retried('a', 0))
    at.group.commit()
    expect(answers).toEqual(['0+1'])
  })

  test('is found where it is remembered', async () => {
    await forgetting()
    expect(at.append(retried('-', 0, 0, new Uint8Array(16).fill(2)))).toEqual(['=2+1'])
  })
})
