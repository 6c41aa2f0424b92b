/** Where the copy of a group ends, and what is in it. */
import { type Frame, FrameKind } from '@millrace/record'
import { expect, test } from 'vitest'
import { MemoryStateStore } from '../memory-state-store.ts'
import { isReplayable, readState } from '../offline/group-replay.ts'
import type { PartitionMachine } from '../partition-machine.ts'
import { FakeGroup } from '../testing/fake-group.ts'
import { newMachine, PRODUCER_A } from '../testing/partition-fixture.ts'
import { openGroupBackup } from './group-backup.ts'

async function groupOf(records: number): Promise<FakeGroup> {
  const group = await FakeGroup.create(5, log => newMachine(log, new MemoryStateStore()))
  for (let sequence = 0; sequence < records; sequence++)
    group.append({
      kind: FrameKind.records,
      recordCount: 1,
      producerId: PRODUCER_A,
      sequence,
      payload: Uint8Array.of(sequence),
    })
  return group
}

const written = (group: FakeGroup): Promise<readonly Frame[]> => group.log.read(2, group.log.end.index + 1, 1 << 20)

async function indexes(runs: AsyncIterable<readonly Frame[]>): Promise<number[]> {
  const found: number[] = []
  for await (const frames of runs) found.push(...frames.map(({ header }) => header.index))
  return found
}

test('a follower waits for what was committed when it was asked, and hands out nothing that it has not applied', async () => {
  const group = await groupOf(8)
  const machine = group.machine as PartitionMachine
  const frames = await written(group)
  machine.apply(frames.slice(0, 2))
  group.readIndex = () => Promise.resolve(5)
  group.waitApplied = (index: number = 0) => {
    machine.apply(frames.slice(2, index - 1))
    return Promise.resolve()
  }
  const backup = await openGroupBackup(group, machine)
  const hash = machine.stateHash()
  // The group goes on while its copy is read.
  machine.apply(frames.slice(4))
  const { header } = frames[3]!
  const { chain, timestamp } = header
  expect(backup.point).toEqual({ index: 5, term: 1, chain, timestamp, nextOffset: 4 })
  expect(await indexes(backup.frames(1))).toEqual([2, 3, 4, 5])
  const { stored, hash: copied } = await readState(backup.state())
  expect(stored.applied).toEqual({ index: 5, term: 1 })
  expect([backup.stateHash, copied]).toEqual([hash, hash])
})

test('a group without an entry is its base', async () => {
  const group = await groupOf(0)
  const backup = await openGroupBackup(group, group.machine as PartitionMachine)
  expect(backup.point).toMatchObject({ index: 1, nextOffset: 0 })
  expect(isReplayable(backup.base)).toBe(true)
  expect(await indexes(backup.frames(1))).toEqual([])
})

test('a log that is trimmed under a copy ends it', async () => {
  const group = await groupOf(6)
  const machine = group.machine as PartitionMachine
  const frames = await written(group)
  machine.apply(frames)
  const backup = await openGroupBackup(group, machine)
  const { index, term, chain, timestamp } = frames[3]!.header
  const at = { index, term, chain, timestamp, nextOffset: 4 }
  await group.log.trimPrefix({ ...group.log.base, ...at })
  await expect(indexes(backup.frames(1))).rejects.toMatchObject({ code: 'CHANGE_IN_PROGRESS' })
  const later = await openGroupBackup(group, machine)
  expect(later.base).toMatchObject(at)
  expect(isReplayable(later.base)).toBe(false)
  expect(await indexes(later.frames(1 << 20))).toEqual([6, 7])
})
