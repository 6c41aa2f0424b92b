/** The state is a function of the log, wherever a checkpoint was taken, and halts on what contradicts it. */
import type { Frame, FrameBody } from '@millrace/record'
import { FrameKind } from '@millrace/record'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { encodeLogStart } from './log-start.ts'
import { MemoryStateStore } from './memory-state-store.ts'
import { PartitionMachine } from './partition-machine.ts'
import { producerKey } from './producer-table.ts'
import { FakeGroup } from './testing/fake-group.ts'
import { idempotent, newMachine, PartitionFixture } from './testing/partition-fixture.ts'

const PRODUCERS_MAX = 3

/** A log as leaders with correct decisions could have written it. */
const logs = fc.array(
  fc.oneof(
    { weight: 1, arbitrary: fc.constant({ kind: 'noop' } as const) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('start' as const), part: fc.nat(100) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('plain' as const), count: fc.integer({ min: 1, max: 9 }) }) },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('producer' as const),
        producer: fc.integer({ min: 1, max: 5 }),
        newEpoch: fc.boolean(),
        count: fc.integer({ min: 1, max: 9 }),
      }),
    },
  ),
  { maxLength: 60 },
)

function bodies(steps: typeof logs extends fc.Arbitrary<infer T> ? T : never): readonly Partial<FrameBody>[] {
  const at = new Map<number, { epoch: number; sequence: number }>()
  let offset = 0
  return steps.map(step => {
    if (step.kind === 'noop') return { kind: FrameKind.noop }
    if (step.kind === 'start') {
      return { kind: FrameKind.logStart, payload: encodeLogStart(Math.floor((offset * step.part) / 100)) }
    }
    offset += step.count
    if (step.kind === 'plain') return { recordCount: step.count }
    const known = at.get(step.producer) ?? { epoch: 0, sequence: -1 }
    const next = step.newEpoch ? { epoch: known.epoch + 1, sequence: 0 } : { ...known, sequence: known.sequence + 1 }
    at.set(step.producer, next)
    return {
      recordCount: step.count,
      producerId: new Uint8Array(16).fill(step.producer),
      producerEpoch: next.epoch,
      sequence: next.sequence,
      payloadCrc: step.count,
    }
  })
}

test('restart from any checkpoint and replay gives the same state', async () => {
  await fc.assert(
    fc.asyncProperty(logs, fc.array(fc.nat(60), { maxLength: 4 }), fc.nat(4), async (steps, cuts, kept) => {
      const source = await FakeGroup.create(5, log => newMachine(log, new MemoryStateStore(), PRODUCERS_MAX))
      const frames = bodies(steps).map(body => source.append(body))
      const whole = newMachine(source.log, new MemoryStateStore(), PRODUCERS_MAX)
      whole.apply(frames)

      const store = new MemoryStateStore()
      const first = newMachine(source.log, store, PRODUCERS_MAX)
      let done = 0
      for (const cut of [...cuts, 60].sort((a, b) => a - b)) {
        first.apply(frames.slice(done, cut))
        done = Math.max(done, Math.min(cut, frames.length))
        // The last checkpoint is committed and not flushed: a crash may lose it.
        if (cut < 60) await first.checkpoint()
      }
      expect(first.stateHash()).toBe(whole.stateHash())

      const survivor = store.crash(kept)
      const again = newMachine(source.log, survivor, PRODUCERS_MAX)
      expect(again.applied.index).toBeGreaterThanOrEqual(0)
      again.apply(frames)
      const seen = ({ nextOffset, logStartOffset, applied }: PartitionMachine) => [nextOffset, logStartOffset, applied]
      expect([again.stateHash(), ...seen(again)]).toEqual([whole.stateHash(), ...seen(whole)])
    }),
    { numRuns: 200 },
  )
})

test('dedup state survives snapshot and retention', async () => {
  const at = await PartitionFixture.create()
  at.group.lead()
  at.append(idempotent('ab', 0))
  at.group.commit()
  const store = new MemoryStateStore()
  const machine = new PartitionMachine({ group: 5, stateStore: store, base: at.group.log.base })
  machine.apply(at.group.committed)
  await machine.checkpoint()
  // The log begins behind the batch now: only the checkpoint knows of it.
  const { index } = machine.applied
  const restarted = new PartitionMachine({
    group: 5,
    stateStore: store,
    stored: store.load(5),
    base: { index, nextOffset: 2 },
  })
  restarted.leadership({ type: 'started', term: 3, nextOffset: 2 })
  expect(restarted.decide(idempotent('ab', 0), '\n'.repeat(16))).toMatchObject({
    type: 'stored',
    batch: { baseOffset: 0, count: 2 },
  })
})

test('a log start moves on, never back, and is in the checkpoint and in the state hash', async () => {
  const source = await FakeGroup.create(5, log => newMachine(log, new MemoryStateStore()))
  const store = new MemoryStateStore()
  const machine = newMachine(source.log, store)
  machine.apply([source.append({ recordCount: 9 })])
  const hashes = [machine.stateHash()]
  const seen = [7, 4, 9].map(offset => {
    machine.apply([source.append({ kind: FrameKind.logStart, payload: encodeLogStart(offset) })])
    hashes.push(machine.stateHash())
    return machine.logStartOffset
  })
  expect(seen).toEqual([7, 7, 9])
  expect(new Set(hashes).size).toBe(3)
  await machine.checkpoint()
  const again = newMachine(source.log, store)
  expect([again.logStartOffset, again.nextOffset, again.stateHash()]).toEqual([9, 9, machine.stateHash()])
})

test('state store rolled back to an older valid version', async () => {
  const source = await FakeGroup.create(5, log => newMachine(log, new MemoryStateStore()))
  const store = new MemoryStateStore()
  const machine = newMachine(source.log, store)
  const write = (sequence: number): Frame =>
    source.append({ recordCount: 2, producerId: new Uint8Array(16).fill(1), sequence })
  const frames = [write(0), write(1)]
  machine.apply(frames)
  await machine.checkpoint()
  const older = store.crash()
  frames.push(write(2), write(3))
  machine.apply(frames)
  await machine.checkpoint()
  const again = newMachine(source.log, older)
  expect(again.applied.index).toBe(3)
  again.apply(frames)
  expect([again.stateHash(), again.nextOffset]).toEqual([machine.stateHash(), 8])
})

test('a checkpoint holds only what changed since the one before', async () => {
  const at = await PartitionFixture.create()
  at.group.lead()
  const store = new MemoryStateStore()
  const sizes: number[] = []
  const counting = Object.assign(Object.create(store) as MemoryStateStore, {
    commit: (group: number, c: Parameters<MemoryStateStore['commit']>[1]) => {
      sizes.push(c.puts.length)
      return MemoryStateStore.prototype.commit.call(store, group, c)
    },
    flush: () => store.flush(),
  })
  const machine = new PartitionMachine({ group: 5, stateStore: counting, base: at.group.log.base })
  const write = (producer: number, sequence: number): Frame =>
    at.group.append({ recordCount: 1, producerId: new Uint8Array(16).fill(producer), sequence })
  machine.apply([...at.group.committed, ...[1, 2, 3, 4].map(p => write(p, 0))])
  await machine.checkpoint()
  machine.apply([write(2, 1)])
  await machine.checkpoint()
  await machine.checkpoint()
  expect(sizes).toEqual([5, 2])
})

test('a checkpoint that fails loses nothing: the next one holds its changes', async () => {
  const at = await PartitionFixture.create()
  at.group.lead()
  const store = new MemoryStateStore()
  let failing = false
  const flaky = Object.assign(Object.create(store) as MemoryStateStore, {
    commit: (...args: Parameters<MemoryStateStore['commit']>) =>
      failing ? Promise.reject(new Error('disk full')) : MemoryStateStore.prototype.commit.apply(store, args),
    flush: () => store.flush(),
  })
  const machine = new PartitionMachine({ group: 5, stateStore: flaky, base: at.group.log.base })
  machine.apply(at.group.committed)
  await machine.checkpoint()
  failing = true
  machine.apply([at.group.append({ recordCount: 1, producerId: new Uint8Array(16).fill(7) })])
  await expect(machine.checkpoint()).rejects.toThrow('disk full')
  failing = false
  await machine.checkpoint()
  expect(newMachine(at.group.log, store).stateHash()).toBe(machine.stateHash())
})

describe('halts', () => {
  const replica = async (): Promise<{ at: FakeGroup; machine: PartitionMachine }> => {
    const at = await FakeGroup.create(5, log => newMachine(log, new MemoryStateStore()))
    return { at, machine: at.machine as PartitionMachine }
  }
  const changed = (frame: Frame, header: Partial<Frame['header']>): Frame => ({
    ...frame,
    header: { ...frame.header, ...header },
  })

  test('offset 0 or a gap after failover', async () => {
    const { at, machine } = await replica()
    machine.apply([at.append({ recordCount: 3 })])
    const next = at.append({ recordCount: 1 })
    for (const baseOffset of [0, 2, 4]) expect(() => machine.apply([changed(next, { baseOffset })])).toThrow(/offset/)
    machine.apply([next])
    expect(machine.nextOffset).toBe(4)
  })

  test('on an index that is not the next', async () => {
    const { at, machine } = await replica()
    const frame = at.append({ recordCount: 1 })
    expect(() => machine.apply([changed(frame, { index: 3 })])).toThrow(/index|due/)
  })

  test('on a batch stored twice and on a fenced epoch', async () => {
    const { at, machine } = await replica()
    const by = (producerEpoch: number, sequence: number): Frame =>
      at.append({ recordCount: 1, producerId: new Uint8Array(16).fill(1), producerEpoch, sequence })
    machine.apply([by(1, 0), by(1, 1)])
    const next = by(1, 1)
    expect(() => machine.apply([next])).toThrow(/sequence 1/)
    expect(() => machine.apply([changed(next, { producerEpoch: 0, sequence: 2 })])).toThrow(/epoch 0/)
    expect(() => machine.apply([changed(next, { producerEpoch: 2, sequence: 1 })])).toThrow(/epoch 2/)
    expect(machine.nextOffset).toBe(2)
  })

  test.each([FrameKind.command, FrameKind.cursor, 99 as FrameKind])(
    'on kind %s, which needs newer software',
    async kind => {
      const { at, machine } = await replica()
      expect(() => machine.apply([at.append({ kind })])).toThrow(/newer software/)
    },
  )

  test('on a log start beyond the next offset, and on one that says more than is known', async () => {
    const { at, machine } = await replica()
    machine.apply([at.append({ recordCount: 3 })])
    const start = (payload: Uint8Array): Frame => at.append({ kind: FrameKind.logStart, payload })
    const beyond = start(encodeLogStart(4))
    expect(() => machine.apply([beyond])).toThrow(/starts the log at 4, beyond the next offset 3/)
    for (const payload of [Uint8Array.of(8, 1, 16, 1), Uint8Array.of(0xff)]) {
      const frame = start(payload)
      expect(() => machine.apply([changed(frame, { index: 3 })])).toThrow(/newer software/)
    }
    expect(machine.logStartOffset).toBe(0)
  })

  test('on a log that begins behind its state', async () => {
    const { at } = await replica()
    const open = (base: { index: number; nextOffset: number }) =>
      new PartitionMachine({ group: at.group, stateStore: new MemoryStateStore(), base })
    expect(() => open({ index: 10, nextOffset: 5 })).toThrow(/no checkpoint/)
  })
})

describe('entries that are given up', () => {
  const by = (producer: number, sequence: number): Partial<FrameBody> => ({
    ...{ recordCount: 2, producerId: new Uint8Array(16).fill(producer), sequence, payloadCrc: sequence },
  })

  /** Entries 2 to 9: the third and fourth are lost, the seventh gives them up. */
  async function logWithLoss(): Promise<{ at: FakeGroup; frames: readonly Frame[]; givenUpAt: number }> {
    const at = await FakeGroup.create(5, log => newMachine(log, new MemoryStateStore()))
    const bodies = [by(1, 0), by(2, 0), by(1, 1), by(2, 1), by(1, 2), by(3, 0), { kind: FrameKind.lostRange }, by(4, 0)]
    const frames = bodies.map(body => at.append(body))
    return { at, frames, givenUpAt: frames[6]!.header.index }
  }

  const endOf = (frame: Frame): { index: number; term: number; nextOffset: number } => {
    const { index, term, baseOffset, recordCount } = frame.header
    return { index, term, nextOffset: baseOffset + recordCount }
  }

  test('leave the same state on a replica that has them and on one that has not, from the entry that says so on', async () => {
    const { at, frames, givenUpAt } = await logWithLoss()
    const whole = newMachine(at.log, new MemoryStateStore())
    whole.apply(frames)
    const store = new MemoryStateStore()
    for (let cut = 4; cut <= frames.length; cut++) {
      const machine = newMachine(at.log, store)
      machine.apply(frames.slice(0, 2))
      await machine.checkpoint()
      machine.passLost(endOf(frames[3]!), givenUpAt)
      expect([machine.nextOffset, machine.applied.index]).toEqual([8, frames[3]!.header.index])
      machine.apply(frames.slice(4, cut))
      await machine.checkpoint()
      const again = new PartitionMachine({ group: 5, stateStore: store, stored: store.load(5), base: at.log.base })
      expect(again.stateHash()).toBe(machine.stateHash())
      for (const each of [machine, again]) {
        if (cut < frames.length) each.apply(frames.slice(cut))
        expect([each.stateHash(), each.nextOffset]).toEqual([whole.stateHash(), whole.nextOffset])
      }
      await store.drop(5)
    }
  })

  test('leave no producer known while the entry that says so is not applied either', async () => {
    const { at, frames, givenUpAt } = await logWithLoss()
    const machine = newMachine(at.log, new MemoryStateStore())
    machine.apply(frames.slice(0, 2))
    machine.passLost(endOf(frames[3]!), givenUpAt)
    machine.apply(frames.slice(4, 6))
    machine.leadership({ type: 'started', term: 1, nextOffset: machine.nextOffset })
    // The next one of what was read between, a repetition of what was lost.
    for (const sequence of [3, 1]) {
      const id = new Uint8Array(16).fill(1)
      const decision = machine.decide(idempotent('ab', sequence, 0, id), producerKey(id))
      expect(decision).toMatchObject({ type: 'refuse', error: { code: 'PRODUCER_UNKNOWN' } })
    }
  })

  test('leave no producer known, for good: nothing of theirs is taken as if it were new', async () => {
    const { at, frames } = await logWithLoss()
    const store = new MemoryStateStore()
    const machine = newMachine(at.log, store)
    machine.apply(frames)
    await machine.checkpoint()
    for (const each of [
      machine,
      new PartitionMachine({ group: 5, stateStore: store, stored: store.load(5), base: at.log.base }),
    ]) {
      each.leadership({ type: 'started', term: 1, nextOffset: each.nextOffset })
      const decide = (producer: number, sequence: number, retry: boolean): string => {
        const id = new Uint8Array(16).fill(producer)
        const batch = { ...idempotent('ab', sequence, 0, id) }
        const decision = each.decide({ ...batch, producer: { ...batch.producer!, retry } }, producerKey(id))
        return decision.type === 'refuse' ? decision.error.code : decision.type
      }
      expect([decide(1, 3, false), decide(1, 0, true), decide(9, 0, true)]).toEqual(Array(3).fill('PRODUCER_UNKNOWN'))
      expect(decide(9, 0, false)).toBe('accept')
    }
  })

  test('are given up while a checkpoint is being written: the next one leaves none of what is forgotten', async () => {
    const { at, frames, givenUpAt } = await logWithLoss()
    const store = new MemoryStateStore()
    const machine = newMachine(at.log, store)
    machine.apply(frames.slice(0, 1))
    await machine.checkpoint()
    machine.apply(frames.slice(1, 2))
    const commit = store.commit.bind(store)
    vi.spyOn(store, 'commit').mockImplementationOnce(async (group, checkpoint) => {
      machine.passLost(endOf(frames[3]!), givenUpAt)
      await commit(group, checkpoint)
    })
    await machine.checkpoint()
    await machine.checkpoint()
    const again = new PartitionMachine({ group: 5, stateStore: store, stored: store.load(5), base: at.log.base })
    expect(again.stateHash()).toBe(machine.stateHash())
  })

  test('are never behind what is applied', async () => {
    const { at, frames, givenUpAt } = await logWithLoss()
    const machine = newMachine(at.log, new MemoryStateStore())
    machine.apply(frames.slice(0, 5))
    expect(() => machine.passLost(endOf(frames[3]!), givenUpAt)).toThrow('is given up')
  })
})
