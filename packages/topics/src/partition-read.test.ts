/** What a reader sees, and what it never sees. */

import { LogDamaged, LogError } from '@millrace/log-store'
import { MemorySnapshotStore } from '@millrace/log-store/memory'
import { framePayload, MillraceError } from '@millrace/record'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import type { ReadResult } from './partition.ts'
import { PartitionMachine } from './partition-machine.ts'
import { PartitionReplica } from './partition-replica.ts'
import { encodeStateSnapshot } from './state-snapshot.ts'
import { batch, newMachine, PartitionFixture } from './testing/partition-fixture.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'

let at: PartitionFixture
beforeEach(async () => {
  at = await PartitionFixture.create()
  at.group.lead()
})

const text = (result: ReadResult): string => result.frames.map(f => new TextDecoder().decode(framePayload(f))).join('|')
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('read', () => {
  test('gives committed batches only', async () => {
    at.append(batch('abc'), batch('de'), batch('f'))
    at.group.commit(2)
    const result = await at.replica.read(0, 1_000_000)
    expect(text(result)).toBe('abc|de')
    expect(result).toMatchObject({ nextOffset: 5, highWatermark: 5 })
  })

  test('may begin with a batch that starts before the offset, never with one that ends there', async () => {
    at.append(batch('abc'), batch('de'))
    at.group.commit()
    expect(text(await at.replica.read(2, 1_000_000))).toBe('abc|de')
    expect(text(await at.replica.read(3, 1_000_000))).toBe('de')
  })

  test('skips entries without records', async () => {
    at.append(batch('a'))
    at.group.commit()
    for (let i = 0; i < 3; i++) at.group.lead()
    at.append(batch('b'))
    at.group.commit()
    expect(text(await at.replica.read(0, 1_000_000))).toBe('a|b')
    expect(text(await at.replica.read(1, 1))).toBe('b')
  })

  test('at the high watermark is empty, beyond it and below the log start out of range with the range', async () => {
    at.append(batch('ab'))
    at.group.commit()
    expect(await at.replica.read(2, 100)).toEqual({ frames: [], nextOffset: 2, highWatermark: 2 })
    for (const offset of [3, -1, Number.NaN]) {
      await expect(at.replica.read(offset, 100)).rejects.toMatchObject({
        code: 'OFFSET_OUT_OF_RANGE',
        details: { logStartOffset: 0, highWatermark: 2 },
      })
    }
  })

  test('in sequence never searches the log again', async () => {
    for (let i = 0; i < 50; i++) at.append(batch('abc'))
    at.group.commit()
    const search = vi.spyOn(at.group.log, 'indexOfOffset')
    let read = ''
    for (let offset = 0; offset < 150; ) {
      const result = await at.replica.read(offset, 300)
      read += text(result).replaceAll('|', '')
      offset = result.nextOffset
    }
    expect(read).toBe('abc'.repeat(50))
    expect(search).toHaveBeenCalledTimes(1)
  })

  test('of a range that is damaged here can be tried again: others have it', async () => {
    at.append(batch('ab'))
    at.group.commit()
    const { base } = at.group.log
    const hole = { before: base, last: { ...base, index: base.index + 1, nextOffset: 2 } }
    vi.spyOn(at.group.log, 'indexOfOffset').mockRejectedValueOnce(new LogDamaged(7, hole))
    await expect(at.replica.read(0, 100)).rejects.toMatchObject({
      code: 'RANGE_DAMAGED',
      retryable: true,
      details: { firstOffset: 0, nextOffset: 2 },
    })
  })

  test('of a log that cannot be read says so', async () => {
    at.append(batch('ab'))
    at.group.commit()
    const search = vi.spyOn(at.group.log, 'indexOfOffset')
    for (const [code, expected] of [
      ['DAMAGED', 'PARTITION_HALTED'],
      ['COMPACTED', 'OFFSET_OUT_OF_RANGE'],
      ['CLOSED', 'SHUTTING_DOWN'],
    ] as const) {
      search.mockRejectedValueOnce(new LogError(code, 'x'))
      await expect(at.replica.read(0, 100)).rejects.toMatchObject({ code: expected })
    }
  })

  test('says for how long no leader was known', () => {
    let nowMs = 1_000
    at.group.leaderNode = 0
    const replica = new PartitionReplica('orders', 0, at.machine, at.group, () => nowMs)
    nowMs = 1_500
    expect(replica.leaderlessMs).toBe(500)
    at.group.hearLeader(0)
    expect(replica.leaderlessMs).toBe(500)
    at.group.hearLeader(2)
    expect(replica.leaderlessMs).toBe(0)
    nowMs = 2_000
    at.group.hearLeader(0)
    nowMs = 2_250
    expect(replica.leaderlessMs).toBe(250)
  })

  test('of a halted replica is refused', async () => {
    at.group.halt('bad chain')
    await expect(at.replica.read(0, 100)).rejects.toMatchObject({ code: 'PARTITION_HALTED' })
    await expect(at.replica.offsetAtTime(0)).rejects.toMatchObject({ code: 'PARTITION_HALTED' })
  })

  test('of a state that is ahead of its log waits until the log is known to hold it', async () => {
    at.append(batch('abc'), batch('de'))
    at.group.commit()
    const stateStore = new MemoryStateStore()
    const ahead = newMachine(at.group.log, stateStore)
    ahead.apply(at.group.committed)
    await ahead.checkpoint()
    const replica = new PartitionReplica('orders', 0, newMachine(at.group.log, stateStore), at.group)
    const status = vi.spyOn(at.group, 'status')
    const whole = at.group.status()
    status.mockReturnValue({ ...whole, commit: whole.commit - 1 })
    await expect(replica.read(0, 100)).rejects.toMatchObject({ code: 'REPLICA_BEHIND', retryable: true })
    await expect(replica.offsetAtTime(0)).rejects.toMatchObject({ code: 'REPLICA_BEHIND' })
    status.mockReturnValue(whole)
    expect(text(await replica.read(0, 1_000_000))).toBe('abc|de')
    status.mockClear()
    await replica.read(0, 100)
    expect(status).not.toHaveBeenCalled()
  })

  test('of a replica whose state is missing is refused everywhere, and goes on when it is there', async () => {
    at.append(batch('abc'), batch('de'))
    at.group.commit()
    const whole = newMachine(at.group.log, new MemoryStateStore())
    whole.apply(at.group.committed)
    const { group, log } = at.group
    const base = { ...log.base, index: 2, nextOffset: 3 }
    const options = { group, stateStore: new MemoryStateStore(), base }
    expect(() => new PartitionMachine(options)).toThrow('there is no checkpoint')
    const machine = new PartitionMachine({ ...options, snapshotStore: new MemorySnapshotStore() })
    const replica = new PartitionReplica('orders', 0, machine, at.group)
    for (const offset of [0, 3, 5]) {
      const refused = { code: 'REPLICA_BEHIND', message: expect.stringContaining('has no state on this node') }
      await expect(replica.read(offset, 100)).rejects.toMatchObject(refused)
    }
    await expect(replica.offsetAtTime(0)).rejects.toMatchObject({ code: 'REPLICA_BEHIND' })
    let wakes = 0
    replica.waitAbove(3, () => {
      wakes += 1
    })
    await turn()
    expect(wakes).toBe(1)
    const content = encodeStateSnapshot(whole.applied, whole.stateEntries())
    const info = { ...log.base, ...whole.applied, contentBytes: 1, contentChecksum: 0 }
    const restored = machine.snapshots!.restore(info, content)
    await expect(replica.read(0, 100)).rejects.toMatchObject({ code: 'REPLICA_BEHIND' })
    await restored
    expect(machine.stateHash()).toBe(whole.stateHash())
    expect(text(await replica.read(3, 1_000_000))).toBe('de')
  })

  test('by time stays below the high watermark', async () => {
    at.append(batch('ab'), batch('cd'))
    const [first, second] = at.group.proposals.map(p => p.frame.header.timestamp) as [number, number]
    at.group.commit(1)
    expect(await at.replica.offsetAtTime(first)).toBe(0)
    expect(await at.replica.offsetAtTime(second)).toBe(2)
    expect(await at.replica.offsetAtTime(second + 1)).toBe(2)
    at.group.commit()
    expect(await at.replica.offsetAtTime(second + 1)).toBe(4)
  })
})

describe('waitAbove', () => {
  test('wakes once, when the high watermark is above the offset, outside the turn that applied it', async () => {
    const woken: number[] = []
    for (const offset of [0, 1, 2]) at.replica.waitAbove(offset, () => woken.push(offset))
    at.append(batch('ab'))
    at.group.commit()
    expect(woken).toEqual([])
    await turn()
    expect(woken).toEqual([0, 1])
    at.append(batch('c'))
    at.group.commit()
    await turn()
    expect(woken).toEqual([0, 1, 2])
  })

  test('wakes at once where it is above already, and not after it was cancelled', async () => {
    at.append(batch('ab'))
    at.group.commit()
    const woken: string[] = []
    at.replica.waitAbove(1, () => woken.push('kept'))
    at.replica.waitAbove(1, () => woken.push('cancelled')).cancel()
    await turn()
    expect(woken).toEqual(['kept'])
  })

  test.each(['halts', 'is closed'])('wakes when the replica %s', async how => {
    const woken: string[] = []
    at.replica.waitAbove(5, () => woken.push('before'))
    if (how === 'halts') at.group.halt('bad chain')
    else at.replica.close(new MillraceError('SHUTTING_DOWN', 'bye'))
    await turn()
    at.replica.waitAbove(5, () => woken.push('after'))
    await turn()
    expect(woken).toEqual(['before', 'after'])
  })

  test('bounds how many wait', () => {
    for (let i = 0; i < TOPIC_LIMITS.watermarkWaitersMax; i++) at.replica.waitAbove(0, () => undefined)
    expect(() => at.replica.waitAbove(0, () => undefined)).toThrow(expect.objectContaining({ code: 'THROTTLED' }))
  })
})
