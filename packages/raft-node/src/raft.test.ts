import { MemoryLogStore, MemorySnapshotStore } from '@millrace/log-store/memory'
import type { MillraceError } from '@millrace/record'
import { afterEach, expect, test } from 'vitest'
import type { Fsm } from './fsm.ts'
import { createMemoryNetwork } from './memory-network.ts'
import { createRaft, type Raft, type RaftObserver } from './raft.ts'
import { FAST } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

/** Adds numbers. */
class Sum implements Fsm {
  sum = 0
  batches = 0

  apply(commands: readonly Uint8Array[]): readonly number[] {
    this.batches += 1
    return commands.map(([n]) => (this.sum += n!))
  }

  snapshot(): ReturnType<Fsm['snapshot']> {
    const { sum } = this
    return {
      async *content() {
        yield Uint8Array.of(sum)
      },
    }
  }

  async restore(content: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const [sum] of content) this.sum = sum!
  }
}

interface Running {
  readonly raft: Raft
  readonly fsm: Sum
  readonly logStore: MemoryLogStore
  readonly snapshotStore: MemorySnapshotStore
}

let network = createMemoryNetwork()
const running: Raft[] = []

afterEach(async () => {
  for (const raft of running.splice(0)) await raft.shutdown()
  network = createMemoryNetwork()
})

async function start(id: number, before?: Running): Promise<Running> {
  const fsm = new Sum()
  const logStore = before?.logStore.reopen() ?? new MemoryLogStore()
  const snapshotStore = before?.snapshotStore.reopen() ?? new MemorySnapshotStore()
  const stores = { logStore, snapshotStore, transport: network.transport(id) }
  const raft = await createRaft({ id, clusterId: 'c', fsm, ...stores, timing: FAST })
  running.push(raft)
  return { raft, fsm, logStore, snapshotStore }
}

async function three(): Promise<{ all: Running[]; leader: () => Running }> {
  const all = await Promise.all([1, 2, 3].map(id => start(id)))
  expect(all.map(({ raft }) => raft.state)).toEqual(['idle', 'idle', 'idle'])
  await Promise.all(all.map(({ raft }) => raft.bootstrap({ nodes: [1, 2, 3], leaseReads: true })))
  const leader = (): Running => all.find(({ raft }) => raft.state === 'leader')!
  await until('there is a leader', () => leader() !== undefined)
  await until('it takes commands', () => (leader()?.raft.metrics().status?.applied ?? 0) > 1)
  return { all, leader }
}

/** Applied by whoever leads; what was not stored for a reason that passes is tried again. */
async function applied(leader: () => Running | undefined, n: number): Promise<unknown> {
  for (;;) {
    try {
      const now = leader()
      if (now !== undefined) return await now.raft.apply(Uint8Array.of(n))
    } catch (error) {
      const { outcome, retryable } = error as MillraceError
      if (outcome !== 'not_stored' || !retryable) throw error
    }
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

test('founded, applied on the leader, read everywhere', async () => {
  const { all, leader } = await three()
  expect(await leader().raft.apply(Uint8Array.of(3))).toBe(3)
  expect(await leader().raft.apply(Uint8Array.of(4), { timeoutMs: 5_000 })).toBe(7)
  for (const { raft, fsm } of all) {
    await until('it knows the leader', () => raft.leaderNode !== 0)
    expect(await raft.read(() => fsm.sum)).toBe(7)
    expect((await raft.verifyLeader()).node).toBe(leader().raft.id)
  }
  const follower = all.find(({ raft }) => raft.state === 'follower')!
  await expect(follower.raft.apply(Uint8Array.of(1))).rejects.toMatchObject({
    code: 'NOT_LEADER',
    outcome: 'not_stored',
  })
  const { state, status, store } = leader().raft.metrics()
  expect(state).toBe('leader')
  expect(status?.configuration.voters).toEqual([1, 2, 3])
  expect(store.stuckMs).toBe(0)
})

test('without a replica nothing works, and the error says what to do', async () => {
  const { raft, fsm } = await start(1)
  const refused = { code: 'NO_LEADER', message: expect.stringContaining('bootstrap, or join') }
  await expect(raft.apply(Uint8Array.of(1))).rejects.toMatchObject(refused)
  await expect(raft.read(() => fsm.sum)).rejects.toMatchObject(refused)
  expect(raft.metrics()).toMatchObject({ state: 'idle' })
  await raft.bootstrap({ nodes: [1] })
  await until('it leads', () => raft.state === 'leader')
  await expect(raft.bootstrap({ nodes: [1] })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('observers hear of state and configuration; a stopped leader has given its leadership away', async () => {
  const { all, leader } = await three()
  const old = leader()
  const heard: Parameters<RaftObserver>[0][] = []
  old.raft.observe(event => heard.push(event))
  const other = all.find(one => one !== old)!.raft.id
  await old.raft.members.demote(other)
  await old.raft.members.promote(other)
  expect(heard).toContainEqual(
    expect.objectContaining({
      type: 'configuration',
      configuration: expect.objectContaining({ learners: [expect.any(Number)] }),
    }),
  )
  await old.raft.shutdown()
  expect(old.raft.state).toBe('shutdown')
  const states = heard.flatMap(event => (event.type === 'state' ? [event.state] : []))
  expect(states[0]).toBe('follower')
  expect(states.at(-1)).toBe('shutdown')
  await expect(old.raft.apply(Uint8Array.of(1))).rejects.toMatchObject({ code: 'SHUTTING_DOWN', outcome: 'not_stored' })
  expect(await applied(leader, 5)).toBe(5)
  expect(leader()).not.toBe(old)
})

test('a restart goes on from the snapshot, and a node that joins later gets it', async () => {
  const { all, leader } = await three()
  for (let i = 0; i < 10; i++) await leader().raft.apply(Uint8Array.of(2))
  const old = leader()
  await old.raft.snapshot()
  await old.raft.shutdown()
  const again = await start(old.raft.id, old)
  expect(again.raft.state).toBe('follower')
  expect(again.fsm).toMatchObject({ sum: 20, batches: 0 })
  all[all.indexOf(old)] = again
  await until('there is a leader', () => leader() !== undefined && leader().raft.leaderNode !== 0)
  const newcomer = await start(4)
  await newcomer.raft.join(4)
  // A leader that is new takes changes once the first entry of its term is applied.
  const add = () => leader().raft.members.addVoter({ replica: 4, node: 4 })
  await expect.poll(() => add().then(() => 'added', String)).toBe('added')
  await until('it knows the leader', () => newcomer.raft.leaderNode !== 0)
  expect(await newcomer.raft.read(() => newcomer.fsm.sum)).toBe(20)
})

test('a lease read, once there is a lease', async () => {
  const { leader } = await three()
  await leader().raft.apply(Uint8Array.of(9))
  let sum: number | undefined
  while (sum === undefined) {
    sum = await leader()
      .raft.leaseRead(() => leader().fsm.sum)
      .catch(() => undefined)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  expect(sum).toBe(9)
})
