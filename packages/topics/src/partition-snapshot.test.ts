/** A partition's state as a snapshot: of the log's base, ahead of it, and the same wherever it is restored. */
import type { SnapshotInfo } from '@millrace/log-store'
import { MemoryLogStore, MemorySnapshotStore } from '@millrace/log-store/memory'
import { BIRTH_INDEX, birthGroup, createNode, type GroupHandle, joinGroup, type RaftNode } from '@millrace/raft-node'
import { createMemoryNetwork } from '@millrace/raft-node/memory'
import { until } from '@millrace/raft-node/testing'
import type { Frame, FrameBody } from '@millrace/record'
import { FrameCodec, FrameKind } from '@millrace/record'
import { expect, onTestFinished, test } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import { PartitionMachine } from './partition-machine.ts'
import { decodeStateSnapshot, encodeStateSnapshot } from './state-snapshot.ts'
import { FakeGroup } from './testing/fake-group.ts'
import { newMachine } from './testing/partition-fixture.ts'

const GROUP = 5
const PRODUCERS = 3
const BASE = { index: BIRTH_INDEX, nextOffset: 0 }

function body(step: number): FrameBody {
  return {
    ...{ kind: FrameKind.records, codec: FrameCodec.none, recordCount: 1 + (step % 4), producerEpoch: 0 },
    producerId: new Uint8Array(16).fill(1 + (step % PRODUCERS)),
    sequence: Math.floor(step / PRODUCERS),
    payload: Uint8Array.of(step),
  }
}

async function frames(count: number): Promise<readonly Frame[]> {
  const group = await FakeGroup.create(GROUP, log => newMachine(log, new MemoryStateStore()))
  return Array.from({ length: count }, (_, step) => group.append({ ...body(step) }))
}

function machineOn(stateStore: MemoryStateStore, stored = stateStore.load(GROUP)): PartitionMachine {
  return new PartitionMachine({
    group: GROUP,
    stateStore,
    stored,
    base: BASE,
    snapshotStore: new MemorySnapshotStore(),
  })
}

/** Where a log stands; the state looks at little of it. */
function infoAt(index: number, contentBytes: number): SnapshotInfo {
  const at = { index, term: 1, chain: 0, timestamp: 0, nextOffset: 0, configurationIndex: 1 }
  return { ...at, configuration: new Uint8Array(0), contentBytes, contentChecksum: 0 }
}

test('restored anywhere it is the same state, durably, and goes on the same', async () => {
  const all = await frames(40)
  for (let cut = 5; cut <= all.length; cut += 5) {
    const source = machineOn(new MemoryStateStore())
    source.apply(all.slice(0, cut))
    const hash = source.stateHash()
    const view = source.snapshots!.view()
    // The view is of its moment.
    if (cut < all.length) source.apply(all.slice(cut))
    const store = new MemoryStateStore()
    const target = machineOn(store)
    // Something else was there before.
    target.apply(all.slice(0, 2))
    await target.checkpoint()
    const applied = await target.snapshots!.restore(infoAt(1, 1), view.content())
    view.release()
    expect([applied, target.applied, target.stateHash()]).toEqual([view.applied, view.applied, hash])
    expect(target.broughtTo).toBe(applied.index)
    const again = machineOn(store.crash(0))
    expect([again.applied, again.stateHash(), again.nextOffset]).toEqual([applied, hash, target.nextOffset])
    for (const machine of [target, again]) {
      if (cut < all.length) machine.apply(all.slice(cut))
      expect(machine.stateHash()).toBe(source.stateHash())
    }
    await target.checkpoint()
    expect(machineOn(store).stateHash()).toBe(source.stateHash())
  }
})

test('at the birth of a group it is empty, and begins with the first entry', async () => {
  const all = await frames(3)
  const store = new MemoryStateStore()
  const machine = new PartitionMachine({
    ...{ group: GROUP, stateStore: store, base: { index: 0, nextOffset: 0 }, snapshotStore: new MemorySnapshotStore() },
  })
  const nothing = async function* (): AsyncGenerator<Uint8Array> {
    // No content.
  }
  expect(await machine.snapshots!.restore(infoAt(BIRTH_INDEX, 0), nothing())).toEqual({ index: BIRTH_INDEX, term: 1 })
  machine.apply(all)
  expect(machine.nextOffset).toBe(1 + 2 + 3)
})

test('content that is cut, too long or of another format is refused', async () => {
  const pieces: Uint8Array[] = []
  const entries = [{ key: Uint8Array.of(1), value: Uint8Array.of(2, 3) }]
  for await (const piece of encodeStateSnapshot({ index: 9, term: 2 }, entries)) pieces.push(piece)
  const whole = Buffer.concat(pieces)
  const decode = (bytes: Uint8Array): Promise<unknown> =>
    decodeStateSnapshot(
      (async function* () {
        yield bytes
      })(),
    )
  expect(await decode(whole)).toEqual({ applied: { index: 9, term: 2 }, entries: entries.map(asBuffers) })
  for (let length = 0; length < whole.length; length++) {
    await expect(decode(whole.subarray(0, length))).rejects.toThrow(/cut off|without its head/)
  }
  await expect(decode(Buffer.concat([whole, Uint8Array.of(0)]))).rejects.toThrow('something after its end')
  await expect(decode(whole.with(0, 2))).rejects.toThrow('in format 2: a newer version is needed')
})

function asBuffers({ key, value }: { key: Uint8Array; value: Uint8Array }): unknown {
  return { key: Buffer.from(key), value: Buffer.from(value) }
}

interface TestNode {
  readonly node: RaftNode
  readonly machine: PartitionMachine
  readonly handle: GroupHandle
  readonly log: MemoryLogStore
}

test.each([
  ['a late replica', false, 12],
  ['a replica that joins a group whose log is whole', true, BIRTH_INDEX],
])('%s gets state and records, each once', async (_, joins, trimTo) => {
  const network = createMemoryNetwork()
  const start = async (nodeId: number): Promise<TestNode> => {
    const log = new MemoryLogStore()
    const founding = { clusterId: 'c', group: GROUP, nodes: [1, 2, 3], nodeId }
    if (joins && nodeId === 3) await joinGroup(log, { group: GROUP, replica: 3 })
    else await birthGroup(log, founding)
    const node = await createNode({ nodeId, logStore: log, transport: network.transport(nodeId) })
    onTestFinished(() => node.shutdown())
    const { base } = log.groups()[0]!
    const stores = { stateStore: new MemoryStateStore(), snapshotStore: new MemorySnapshotStore() }
    const machine = new PartitionMachine({ group: GROUP, base, ...stores })
    return { node, machine, log, handle: await node.open(GROUP, machine) }
  }
  const two = [await start(1), await start(2)]
  await until('one leads', () => two.some(({ handle }) => handle.leading))
  const leader = two.find(({ handle }) => handle.leading)!
  for (let step = 0; step < 30; step++) {
    leader.handle.propose(body(step), { applied: () => undefined, failed: () => undefined })
  }
  // The birth is in no log; the first entry is that of the leader's term.
  await until('all is applied', () => leader.machine.applied.index === 32)
  expect(await leader.handle.trimLog(trimTo)).toBe(trimTo)
  const late = await start(3)
  await until('it has everything', () => late.machine.applied.index === leader.machine.applied.index)
  await until('the records too', () => late.log.groups()[0]!.end.index === leader.log.groups()[0]!.end.index)
  expect(late.machine.stateHash()).toBe(leader.machine.stateHash())
  expect(late.log.groups()[0]!.base.index).toBe(trimTo)
  expect(late.node.snapshots().installed).toBe(1)
  // Both take the next batch of a producer for the next one.
  leader.handle.propose(body(30), { applied: () => undefined, failed: () => undefined })
  await until(
    'it goes on',
    () => late.machine.nextOffset === leader.machine.nextOffset && late.machine.applied.index > 32,
  )
  expect(late.machine.stateHash()).toBe(leader.machine.stateHash())
})
