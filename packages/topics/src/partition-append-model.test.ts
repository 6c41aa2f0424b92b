/** Producers that retry against leaders that come and go: every batch is stored once, in order, where its answer says. */
import { MillraceError } from '@millrace/record'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Appended } from './partition.ts'
import { producerKey } from './producer-table.ts'
import { idempotent, PartitionFixture } from './testing/partition-fixture.ts'

const IN_FLIGHT_MAX = 5

/** A producer as the SDK is one: up to five batches in flight, sent again in order when an answer asks for it. */
class ModelProducer {
  readonly id: Uint8Array
  /** Of acknowledged batches, by sequence. */
  readonly acknowledged = new Map<number, Appended>()
  #next = 0
  #waiting = new Set<number>()

  constructor(id: number) {
    this.id = new Uint8Array(16).fill(id)
  }

  get unacknowledged(): readonly number[] {
    return Array.from({ length: this.#next }, (_, i) => i).filter(i => !this.acknowledged.has(i))
  }

  sendNew(at: PartitionFixture): void {
    if (this.unacknowledged.length < IN_FLIGHT_MAX) this.#send(at, this.#next++)
  }

  /** Also what still waits for an answer: its connection broke. */
  retry(at: PartitionFixture, all: boolean): void {
    for (const sequence of this.unacknowledged) if (all || !this.#waiting.has(sequence)) this.#send(at, sequence)
  }

  #send(at: PartitionFixture, sequence: number): void {
    this.#waiting.add(sequence)
    at.replica.append(idempotent('x'.repeat(1 + (sequence % 3)), sequence, 0, this.id), answer => {
      this.#waiting.delete(sequence)
      if (answer instanceof MillraceError) expect(answer.code).toMatch(RETRYABLE)
      else this.#stored(sequence, answer)
    })
  }

  #stored(sequence: number, answer: Appended): void {
    const before = this.acknowledged.get(sequence)
    if (before !== undefined) expect(answer.baseOffset).toBe(before.baseOffset)
    this.acknowledged.set(sequence, answer)
  }
}

const RETRYABLE = /^(NOT_LEADER|LEADERSHIP_LOST|PRODUCER_SEQUENCE_GAP|PRODUCER_UNKNOWN|NO_LEADER)$/

const producer = fc.nat(2)
const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constant('send' as const), producer }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('retry' as const), producer, all: fc.boolean() }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('commit' as const), count: fc.nat(4) }) },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constant('depose' as const), fate: fc.constantFrom('replaced', 'open') }),
    },
    { weight: 2, arbitrary: fc.constant({ type: 'lead' } as const) },
  ),
  { maxLength: 80 },
)

function elect({ group }: PartitionFixture): void {
  if (group.leading) return
  // A leader's log is committed by the first entry of its term, the former leader's waiters included.
  group.commit()
  group.lead()
}

test('every acknowledged batch is stored exactly once, in order, where its answer says', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async script => {
      const at = await PartitionFixture.create()
      const producers = [1, 2, 3].map(id => new ModelProducer(id))
      at.group.lead()
      for (const step of script) {
        if (step.type === 'send') producers[step.producer]!.sendNew(at)
        else if (step.type === 'retry') producers[step.producer]!.retry(at, step.all)
        else if (step.type === 'commit') at.group.commit(step.count)
        else if (step.type === 'lead') elect(at)
        else if (at.group.leading) at.group.stepDown(step.fate as 'replaced' | 'open')
      }
      elect(at)
      for (let round = 0; round < 20; round++) {
        for (const p of producers) p.retry(at, true)
        at.group.commit()
        await Promise.resolve()
      }
      for (const p of producers) {
        const stored = at.group.committed.filter(f => producerKey(f.header.producerId) === producerKey(p.id))
        expect(p.unacknowledged).toEqual([])
        expect(stored.map(f => f.header.sequence)).toEqual([...p.acknowledged.keys()].sort((a, b) => a - b))
        expect(stored.map(f => f.header.baseOffset)).toEqual(
          stored.map(f => p.acknowledged.get(f.header.sequence)?.baseOffset),
        )
      }
    }),
    { numRuns: 300 },
  )
})
