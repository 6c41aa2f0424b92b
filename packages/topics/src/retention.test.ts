/** One node keeps what topics promise: what it proposes, when it trims, and when its clock has no say. */
import type { NodeEvent } from '@millrace/raft-node'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import { PartitionReplica } from './partition-replica.ts'
import type { ReplicaPlan } from './replica-opener.ts'
import { Retention } from './retention.ts'
import { batch, idempotent, newMachine, PartitionFixture } from './testing/partition-fixture.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'
import type { TopicConfig } from './topics.ts'

const HOUR_MS = 3_600_000
const YEAR_MS = 365 * 24 * HOUR_MS

let at: PartitionFixture
let clock: { wall: number; monotonic: number }
let config: TopicConfig | undefined
let events: NodeEvent[]
/** By how much the clocks of the other nodes are ahead. */
let skews: readonly number[]
let retention: Retention

beforeEach(async () => {
  clock = { wall: 1_700_000_000_000, monotonic: 50 }
  events = []
  skews = []
  config = { partitions: 1, replication: 1, retentionMs: HOUR_MS, retentionBytes: 0 }
  // Every batch of ten records is a segment of its own.
  at = await PartitionFixture.create(undefined, { segmentBytesMax: 1 })
  at.group.now = clock.wall
  at.group.lead()
  retention = newRetention()
})

function newRetention(): Retention {
  const places = [{ replica: 1, node: 1 }]
  const born = { places, founding: places, createIndex: 2, createTimestamp: 0 }
  const plan: ReplicaPlan = { topic: 'orders', partition: 0, group: 5, replica: 1, ...born }
  return new Retention({
    clock: {
      wallMs: () => clock.wall,
      monotonicMs: () => clock.monotonic,
      setTimer: () => ({ cancel: () => undefined }),
    },
    replicas: () => [{ plan, replica: at.replica }],
    configOf: () => config,
    peerSkewsMs: async () => skews,
    log: event => events.push(event),
  })
}

/** Time goes by, on both clocks. */
function pass(ms: number): void {
  clock.wall += ms
  clock.monotonic += ms
  at.group.now = clock.wall
}

async function fill(batches: number): Promise<void> {
  for (let i = 0; i < batches; i++) at.append(batch('0123456789'))
  at.group.commit()
  await settled()
}

/** Everything that was begun has ended. */
async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(resolve => setImmediate(resolve))
}

/** Two passes: the log start, then the trim behind it. */
async function look(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await retention.look()
    at.group.commit()
    await settled()
  }
}

test('by age: what is older goes from the log, and reads of it are refused with the new start', async () => {
  await fill(3)
  pass(HOUR_MS / 2)
  await fill(2)
  await look()
  expect(at.replica.logStartOffset).toBe(0)
  pass(HOUR_MS / 2 + 10)
  await look()
  expect([at.replica.logStartOffset, at.group.log.base.nextOffset, at.replica.highWatermark]).toEqual([30, 30, 50])
  await expect(at.replica.read(29, 1_000)).rejects.toMatchObject({
    code: 'OFFSET_OUT_OF_RANGE',
    details: { offset: 29, logStartOffset: 30, highWatermark: 50 },
  })
  expect((await at.replica.read(30, 1_000_000)).nextOffset).toBe(50)
  expect(retention.activity).toEqual({ trims: 1, recordsTrimmed: 30, isClockInDoubt: false })
})

test('by size: the oldest go, whatever their age', async () => {
  await fill(5)
  const { bytes } = at.group.log.segments().at(-1)!
  config = { ...config!, retentionMs: 0, retentionBytes: 2 * bytes }
  await look()
  expect(at.group.log.base.nextOffset).toBe(30)
})

test('an idle partition becomes empty, and goes on at its next offset', async () => {
  await fill(3)
  pass(2 * HOUR_MS)
  await look()
  expect([at.replica.logStartOffset, at.group.log.base.nextOffset]).toEqual([30, 30])
  const proposals = at.group.committed.length
  await look()
  expect(at.group.committed).toHaveLength(proposals)
  const answers = at.append(batch('a'))
  at.group.commit()
  expect(answers).toEqual(['30+1'])
})

test('a replica that follows proposes nothing, and trims behind what the leader said', async () => {
  await fill(3)
  pass(2 * HOUR_MS)
  at.group.stepDown('open')
  await look()
  expect(at.replica.logStartOffset).toBe(0)
  at.group.leading = true
  at.machine.leadership({ type: 'started', term: 2, nextOffset: 30 })
  await retention.look()
  at.group.commit()
  at.group.stepDown('open')
  await look()
  expect(at.group.log.base.nextOffset).toBe(30)
})

test('nothing is trimmed for a log start that is not committed', async () => {
  await fill(3)
  pass(2 * HOUR_MS)
  await retention.look()
  expect(at.group.proposals.map(({ frame }) => frame.header.kind)).toEqual([5])
  await retention.look()
  await settled()
  expect([at.replica.logStartOffset, at.group.log.base.index, at.group.proposals.length]).toEqual([0, 1, 1])
})

test('a log start that was not taken is proposed again by a later pass', async () => {
  await fill(3)
  pass(2 * HOUR_MS)
  at.group.refusal = { type: 'dropped', reason: 'uncommittedBytesMax', message: 'full' }
  await look()
  expect(at.replica.logStartOffset).toBe(0)
  at.group.refusal = undefined
  await look()
  expect(at.replica.logStartOffset).toBe(30)
  expect(events).toEqual([])
})

test('a trim that fails is reported, and tried again', async () => {
  await fill(3)
  pass(2 * HOUR_MS)
  const trim = vi.spyOn(at.group, 'trimLog').mockRejectedValueOnce(new Error('the disk is full'))
  await look()
  expect(events).toMatchObject([{ level: 'warn', message: expect.stringMatching(/not trimmed.*the disk is full/) }])
  expect(at.group.log.base.nextOffset).toBe(0)
  await look()
  expect([at.group.log.base.nextOffset, trim.mock.calls.length]).toEqual([30, 2])
})

test('a trim that a follower holds back is made once nothing holds it', async () => {
  await fill(3)
  pass(2 * HOUR_MS)
  const trim = vi.spyOn(at.group, 'trimLog').mockImplementation(async () => at.group.log.base.index)
  await look()
  expect(at.group.log.base.nextOffset).toBe(0)
  trim.mockRestore()
  await look()
  expect(at.group.log.base.nextOffset).toBe(30)
})

test('a topic that is gone, and a replica that has halted, are left alone', async () => {
  await fill(3)
  pass(2 * HOUR_MS)
  const wanted = config
  config = undefined
  await look()
  config = wanted
  at.group.halt('bad chain')
  await look()
  expect(at.group.log.base.index).toBe(1)
})

test('segments end early enough for a short retention', async () => {
  const limit = vi.spyOn(at.group.log, 'limitSegmentAge')
  for (const retentionMs of [HOUR_MS, 1, 0]) {
    config = { ...config!, retentionMs }
    await retention.look()
  }
  expect(limit.mock.calls).toEqual([[HOUR_MS], [TOPIC_LIMITS.segmentAgeMinMs], [Number.POSITIVE_INFINITY]])
})

describe('the clock', () => {
  test('leader with a clock a year ahead deletes by age: not while it runs, and it says so once', async () => {
    await fill(3)
    clock.wall += YEAR_MS
    for (let i = 0; i < 3; i++) await look()
    expect(at.replica.logStartOffset).toBe(0)
    expect(events).toMatchObject([{ level: 'warn', message: expect.stringMatching(/was moved by 31536000 s while/) }])
    expect(retention.activity.isClockInDoubt).toBe(true)
    clock.wall -= YEAR_MS
    await look()
    expect(retention.activity).toEqual({ trims: 0, recordsTrimmed: 0, isClockInDoubt: false })
    expect([at.replica.logStartOffset, events.length]).toEqual([0, 2])
    pass(2 * HOUR_MS)
    await look()
    expect(at.replica.logStartOffset).toBe(30)
  })

  test('that was set back deletes nothing either', async () => {
    await fill(3)
    pass(2 * HOUR_MS)
    clock.wall -= 6_000
    await look()
    expect(at.replica.logStartOffset).toBe(0)
  })

  test('may differ by clockSkewMaxMs', async () => {
    await fill(3)
    pass(2 * HOUR_MS)
    clock.wall += TOPIC_LIMITS.clockSkewMaxMs
    await look()
    expect(at.replica.logStartOffset).toBe(30)
  })

  test.each([
    ['two of three', [-YEAR_MS, -YEAR_MS - 20], 'is off by 31536000 s from'],
    ['one of two', [-YEAR_MS], 'is off by 31536000 s from'],
    ['two of four', [-YEAR_MS, 0, -YEAR_MS], 'is off by 31536000 s from'],
    ['two that are ahead', [6_000, 7_000], 'is off by -6 s from'],
  ])('that was wrong when the node started, as %s say, deletes nothing', async (_, others, said) => {
    skews = others
    await fill(3)
    pass(2 * HOUR_MS)
    await look()
    expect(at.replica.logStartOffset).toBe(0)
    expect(events).toMatchObject([{ level: 'warn', message: expect.stringContaining(said) }])
    skews = [20, -20]
    await look()
    expect(at.replica.logStartOffset).toBe(30)
    expect(events[1]).toMatchObject({ level: 'info', message: expect.stringMatching(/by age again/) })
  })

  test.each([
    ['one of three', [YEAR_MS, -30]],
    ['nobody', []],
    ['two of five', [YEAR_MS, -YEAR_MS, 0, 3_000]],
  ])('that only %s contradict may decide', async (_, others) => {
    skews = others
    await fill(3)
    pass(2 * HOUR_MS)
    await look()
    expect(at.replica.logStartOffset).toBe(30)
  })

  test('that was set together with all others, by a server that is wrong, deletes nothing', async () => {
    await fill(3)
    clock.wall += YEAR_MS
    skews = [0, 0]
    await look()
    expect(at.replica.logStartOffset).toBe(0)
  })

  test('has no say in what goes by size', async () => {
    await fill(5)
    clock.wall += YEAR_MS
    config = { ...config!, retentionBytes: 1 }
    await retention.look()
    at.group.commit()
    expect(at.replica.logStartOffset).toBe(40)
  })
})

describe('on request', () => {
  test('a log starts within a batch: the batch stays, its first records are refused', async () => {
    await fill(3)
    const moved = at.replica.startLogAt(15)
    at.group.commit()
    expect(await moved).toBe(15)
    await look()
    expect([at.replica.logStartOffset, at.group.log.base.nextOffset]).toEqual([15, 10])
    await expect(at.replica.read(14, 1_000)).rejects.toMatchObject({ details: { logStartOffset: 15 } })
    expect((await at.replica.read(15, 1)).nextOffset).toBe(20)
    const search = vi.spyOn(at.group.log, 'indexOfOffset')
    await look()
    expect(search).not.toHaveBeenCalled()
  })

  test('never moves back, and never beyond the high watermark', async () => {
    await fill(3)
    const moved = at.replica.startLogAt(20)
    at.group.commit()
    expect(await moved).toBe(20)
    expect(await at.replica.startLogAt(10)).toBe(20)
    expect(at.group.proposals).toEqual([])
    for (const offset of [31, -1, 1.5, Number.NaN])
      await expect(at.replica.startLogAt(offset)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
  })

  test('is refused where another node leads, and unknown where leadership ends meanwhile', async () => {
    await fill(3)
    const unknown = at.replica.startLogAt(10)
    at.group.stepDown('unknown')
    await expect(unknown).rejects.toMatchObject({ code: 'LEADERSHIP_LOST', outcome: 'unknown' })
    await expect(at.replica.startLogAt(10)).rejects.toMatchObject({ code: 'NOT_LEADER' })
  })
})

describe('a reader that is close to the log start', () => {
  const bytesOf = 1

  test('goes on where a trim has dropped what was in front of its next record', async () => {
    await fill(1)
    // An entry without records stands between the two.
    at.group.lead()
    await fill(2)
    expect((await at.replica.read(0, bytesOf)).nextOffset).toBe(10)
    const moved = at.replica.startLogAt(10)
    at.group.commit()
    await moved
    await look()
    expect(at.group.log.base.nextOffset).toBe(10)
    expect((await at.replica.read(10, bytesOf)).nextOffset).toBe(20)
  })

  test('goes on where that happens while it reads, and is refused where its record goes too', async () => {
    await fill(1)
    at.group.lead()
    await fill(2)
    expect((await at.replica.read(0, bytesOf)).nextOffset).toBe(10)
    const { log } = at.group
    const read = log.read.bind(log)
    const overtakenBy = (index: number): void => {
      vi.spyOn(log, 'readCached').mockReturnValueOnce(null)
      vi.spyOn(log, 'read').mockImplementationOnce(async (from, to, bytesMax) => {
        await at.group.trimLog(index)
        return await read(from, to, bytesMax)
      })
    }
    overtakenBy(4)
    expect((await at.replica.read(10, bytesOf)).nextOffset).toBe(20)
    // Never the next one that is left.
    overtakenBy(5)
    await expect(at.replica.read(10, bytesOf)).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
      details: { offset: 10, logStartOffset: 20, highWatermark: 30 },
    })
  })
})

test('dedup state survives a log that was really trimmed', async () => {
  at.append(idempotent('ab', 0))
  await fill(3)
  pass(2 * HOUR_MS)
  await look()
  expect(at.group.log.base.nextOffset).toBe(32)
  expect(at.append(idempotent('ab', 0))).toEqual(['=0+2'])
})

test('a start that is replayed behind a log which was trimmed further shows where the log starts', async () => {
  const store = new MemoryStateStore()
  const early = newMachine(at.group.log, store)
  early.apply(at.group.committed)
  await fill(3)
  early.apply(at.group.committed)
  await early.checkpoint()
  pass(2 * HOUR_MS)
  await fill(1)
  await look()
  const again = new PartitionReplica('orders', 0, newMachine(at.group.log, store), at.group)
  expect([again.machine.logStartOffset, again.logStartOffset]).toEqual([0, 30])
  again.machine.apply(at.group.committed)
  expect([again.machine.logStartOffset, again.logStartOffset]).toEqual([30, 30])
})
