import { MemorySnapshotStore } from '@millrace/log-store/memory'
import { FrameKind } from '@millrace/record'
import { expect, onTestFinished, test, vi } from 'vitest'
import { plainBody } from './entry-frame.ts'
import type { StateMachine } from './state-machine.ts'
import { setBlob } from './testing/blob-fsm.ts'
import { SnapshotCluster, type SnapshotClusterOptions, type SnapshotNode } from './testing/snapshot-cluster.ts'
import { until } from './testing/until.ts'

async function clusterOf(nodes: readonly number[], options: SnapshotClusterOptions = {}): Promise<SnapshotCluster> {
  const cluster = new SnapshotCluster(options)
  onTestFinished(() => cluster.stop())
  for (const id of nodes) await cluster.startNode(id)
  return cluster
}

function baseOf({ store }: SnapshotNode): number {
  return store.groups()[0]!.base.index
}

function indexesOf({ snapshotStore }: SnapshotNode): number[] {
  return snapshotStore.list().map(info => info.index)
}

/** A gate for the views of a state machine, closed until it is opened. */
function closeGate({ fsm }: SnapshotNode): () => void {
  let open: () => void = () => undefined
  fsm.gate = new Promise(resolve => {
    open = resolve
  })
  return open
}

async function setKeys(c: SnapshotCluster, from: number, to: number): Promise<void> {
  for (let key = from; key < to; key++) await c.set(key, 100)
}

test('an empty follower catches up by a snapshot and the log that follows it', async () => {
  const c = await clusterOf([1, 2], { snapshots: { trailingEntriesMax: 2 } })
  await setKeys(c, 0, 20)
  const leader = await c.leader()
  const info = await leader.handle.takeSnapshot()
  await until('the log is trimmed', () => baseOf(leader) === info.index - 2)
  await setKeys(c, 20, 25)
  const late = await c.startNode(3)
  await c.converged()
  expect([late.fsm.restores, late.fsm.keys.length]).toEqual([1, 25])
  expect(late.fsm.commands).toBeLessThanOrEqual(7)
  await until('the sender knows', () => leader.node.snapshots().sending === 0)
  expect(leader.node.snapshots()).toMatchObject({ sent: 1 })
})

test('a leader whose snapshots are damaged takes another one for a follower that needs it', async () => {
  const c = await clusterOf([1, 2], { snapshots: { trailingEntriesMax: 2 } })
  await setKeys(c, 0, 20)
  const leader = await c.leader()
  const info = await leader.handle.takeSnapshot()
  await until('the log is trimmed', () => baseOf(leader) === info.index - 2)
  await setKeys(c, 20, 25)
  const { snapshotStore } = leader
  const spies = [
    vi.spyOn(snapshotStore, 'list').mockReturnValue([]),
    vi.spyOn(snapshotStore, 'openNewest').mockResolvedValue(null),
  ]
  vi.spyOn(snapshotStore, 'create').mockImplementationOnce(head => {
    for (const spy of spies) spy.mockRestore()
    return snapshotStore.create(head)
  })
  const late = await c.startNode(3)
  await c.converged()
  expect([late.fsm.restores, late.fsm.keys.length, indexesOf(leader)[0]! > info.index]).toEqual([1, 25, true])
})

test('a snapshot is of one moment, whatever is applied while it is written', async () => {
  const c = await clusterOf([1, 2])
  await setKeys(c, 0, 5)
  const leader = await c.leader()
  const open = closeGate(leader)
  const taking = leader.handle.takeSnapshot()
  const { applied } = leader.handle.status()
  await setKeys(c, 0, 10)
  open()
  const info = await taking
  expect(info.index).toBe(applied)
  expect([leader.fsm.views, leader.fsm.keys.length]).toEqual([0, 10])
  await c.kill(leader.id)
  const again = await c.startNode(leader.id, fsm => fsm.apply([setBlob(77, new Uint8Array(1))]))
  // What the snapshot holds, and nothing of what was there before.
  expect(again.fsm.keys).toEqual([0, 1, 2, 3, 4])
  await c.converged()
  expect(again.fsm.keys).toHaveLength(10)
})

test('a restart begins with the newest snapshot and applies only what follows', async () => {
  const c = await clusterOf([1, 2, 3])
  await setKeys(c, 0, 10)
  await c.converged()
  const { index } = await c.at(3).handle.takeSnapshot()
  await setKeys(c, 10, 13)
  await c.converged()
  await c.kill(3)
  const again = await c.startNode(3)
  await c.converged()
  expect([again.fsm.restores, again.fsm.commands, indexesOf(again)]).toEqual([1, 3, [index]])
})

test.each([
  ['entries', { snapshotEntries: 10 }, 100],
  ['bytes', { snapshotBytes: 20_000 }, 2_000],
])(
  'after so many %s a snapshot is taken on every replica, old ones go, and the log is trimmed',
  async (_, limit, size) => {
    const c = await clusterOf([1, 2], { snapshots: { ...limit, trailingEntriesMax: 3 } })
    for (let key = 0; key < 45; key++) await c.set(key % 7, size)
    await c.converged()
    for (const node of c.up.values()) {
      await until('several were taken', () => node.node.snapshots().taken >= 3)
      expect(indexesOf(node)).toHaveLength(2)
      await until('the log is trimmed', () => baseOf(node) === indexesOf(node)[0]! - 3)
    }
  },
)

test('a trigger that is dropped during a build fires again when it is over', async () => {
  const c = await clusterOf([1, 2], { snapshots: { snapshotEntries: 10, trailingEntriesMax: 0 } })
  const leader = await c.leader()
  await setKeys(c, 0, 3)
  const open = closeGate(leader)
  await setKeys(c, 3, 40)
  expect([leader.fsm.views, indexesOf(leader), baseOf(leader)]).toEqual([1, [], 1])
  const { applied } = leader.handle.status()
  open()
  // Nothing is appended any more: what was dropped is remembered.
  await until('another one is taken', () => indexesOf(leader).includes(applied))
  expect(leader.node.snapshots().taken).toBe(2)
})

test('a call during a build is answered with a snapshot of everything applied before the call', async () => {
  const c = await clusterOf([1, 2])
  await setKeys(c, 0, 3)
  const leader = await c.leader()
  const open = closeGate(leader)
  const first = leader.handle.takeSnapshot()
  await setKeys(c, 3, 6)
  const { applied } = leader.handle.status()
  const calls = [leader.handle.takeSnapshot(), leader.handle.takeSnapshot()]
  open()
  expect((await first).index).toBeLessThan(applied)
  expect((await Promise.all(calls)).map(info => info.index)).toEqual([applied, applied])
  // The last call found what the one before had written.
  expect([leader.node.snapshots().taken, indexesOf(leader).length]).toEqual([2, 2])
})

test('the log is not trimmed before the snapshot is durable', async () => {
  const c = await clusterOf([1, 2], { snapshots: { trailingEntriesMax: 0 } })
  await setKeys(c, 0, 10)
  const leader = await c.leader()
  const create = leader.snapshotStore.create.bind(leader.snapshotStore)
  let commit: () => void = () => undefined
  const durable = new Promise<void>(resolve => {
    commit = resolve
  })
  let written = false
  leader.snapshotStore.create = async head => {
    const sink = await create(head)
    return {
      ...sink,
      commit: async () => {
        written = true
        await durable
        return await sink.commit()
      },
    }
  }
  const taking = leader.handle.takeSnapshot()
  await until('it is written', () => written)
  await setKeys(c, 10, 15)
  expect(baseOf(leader)).toBe(1)
  commit()
  const { index } = await taking
  await until('the log is trimmed', () => baseOf(leader) === index)
})

test('the log stays as far as the next start needs it: a snapshot alone is no checkpoint', async () => {
  const checkpoint = { index: 6, term: 1 }
  const machine = (fsm: StateMachine): StateMachine => ({
    ...{ applied: fsm.applied, snapshots: fsm.snapshots!, leadership: () => undefined, close: () => fsm.close() },
    apply: frames => fsm.apply(frames),
    checkpoint: async () => checkpoint,
  })
  const c = await clusterOf([1, 2], { snapshots: { trailingEntriesMax: 0 }, machine })
  await setKeys(c, 0, 20)
  const leader = await c.leader()
  await leader.handle.takeSnapshot()
  await until('the log is trimmed', () => baseOf(leader) > 1)
  expect([await leader.handle.trimLog(15), baseOf(leader)]).toEqual([6, 6])
})

test('a snapshot that cannot be written is reported, and costs nothing else', async () => {
  const broken = new MemorySnapshotStore()
  broken.create = () => Promise.reject(Object.assign(new Error('no space left on the device'), { code: 'ENOSPC' }))
  const c = await clusterOf([1, 2], { snapshots: { snapshotEntries: 5 }, openSnapshots: async () => broken })
  await setKeys(c, 0, 20)
  await c.converged()
  const leader = await c.leader()
  await expect(leader.handle.takeSnapshot()).rejects.toThrow('no space left')
  const warnings = leader.events.filter(event => event.message.includes('a snapshot failed'))
  // It is not tried again with every batch.
  expect([warnings.length, baseOf(leader), leader.handle.status().halted]).toEqual([1, 1, undefined])
})

test('what was proposed before a snapshot came is not said to be lost: nobody here can tell', async () => {
  const c = await clusterOf([1, 2, 3], { snapshots: { trailingEntriesMax: 0 } })
  await setKeys(c, 0, 3)
  const old = await c.leader()
  c.network.isolate(old.id)
  const endings: string[] = []
  const taken = old.handle.propose(plainBody(FrameKind.command, setBlob(9, new Uint8Array(1))), {
    applied: () => endings.push('applied'),
    failed: outcome => endings.push(outcome),
  })
  expect(taken.type).toBe('accepted')
  await until('another one leads', () => [...c.up].some(([id, { handle }]) => id !== old.id && handle.leading))
  const next = [...c.up].find(([id, { handle }]) => id !== old.id && handle.leading)![1]
  for (let i = 0; i < 10; i++) next.handle.propose(plainBody(FrameKind.command, setBlob(i, new Uint8Array(5))), QUIET)
  await until('they are applied', () => next.handle.status().applied === next.handle.status().lastIndex)
  const { index } = await next.handle.takeSnapshot()
  await until('the log is trimmed', () => baseOf(next) === index)
  c.network.heal()
  await until('the old leader has it', () => old.fsm.restores === 1)
  next.handle.propose(plainBody(FrameKind.command, setBlob(1, new Uint8Array(7))), QUIET)
  await c.converged()
  expect(endings).toEqual(['unknown'])
})

const QUIET = { applied: () => undefined, failed: () => undefined }

test('a follower that is behind is told of in the status of its leader', async () => {
  const c = await clusterOf([1, 2], { snapshots: { trailingEntriesMax: 0, snapshotBytesPerSecondMax: 200_000 } })
  for (let key = 0; key < 4; key++) await c.set(key, 100_000)
  const leader = await c.leader()
  const { index, contentBytes } = await leader.handle.takeSnapshot()
  const late = await c.startNode(3)
  const sent = (): unknown => leader.handle.status().followers.find(({ node }) => node === 3)?.snapshot
  await until('something is sent', () => (late.handle.status().receiving?.bytes ?? 0) > 0)
  expect(sent()).toMatchObject({ index, bytesTotal: contentBytes })
  expect(late.handle.status().receiving).toMatchObject({ index, bytesTotal: contentBytes })
  const transfers = [{ toNode: 3, group: 7, index, bytesTotal: contentBytes }]
  expect(leader.node.snapshots()).toMatchObject({ sending: 1, waiting: 0, transfers })
  await c.converged()
  await until('the sender knows', () => sent() === undefined)
  expect(late.handle.status().receiving).toBe(undefined)
})

test('a leadership that ends during a transfer ends the transfer; the next leader sends its own', async () => {
  const c = await clusterOf([1, 2], { snapshots: { trailingEntriesMax: 0, snapshotBytesPerSecondMax: 400_000 } })
  for (let key = 0; key < 4; key++) await c.set(key, 200_000)
  await c.converged()
  for (const { handle } of c.up.values()) await handle.takeSnapshot()
  const old = await c.leader()
  const late = await c.startNode(3)
  await until('a part is there', () => (late.handle.status().receiving?.bytes ?? 0) > 0)
  // The old leader cannot hear from the receiver that it is out of office.
  c.network.cut(3, old.id)
  old.handle.transferLeadership(3 - old.id)
  await until('the other one leads', () => c.at(3 - old.id).handle.leading)
  await until('nothing is sent any more', () => old.node.snapshots().sending === 0)
  c.network.heal()
  await c.converged()
  const next = c.at(3 - old.id)
  await until('the sender knows', () => next.node.snapshots().sending === 0)
  expect([late.fsm.restores, old.node.snapshots().sent, next.node.snapshots().sent]).toEqual([1, 0, 1])
  // The states are the same byte for byte, so that the second transfer went on where the first had ended.
  const sent = [...c.up.values()].reduce((bytes, { node }) => bytes + node.snapshots().bytesSent, 0)
  expect(sent).toBeLessThan(1.99 * 800_000)
})
