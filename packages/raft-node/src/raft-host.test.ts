import { afterEach, expect, test } from 'vitest'
import { RecordingHandler } from './testing/recording-handler.ts'
import {
  FAST,
  type Proposal,
  propose,
  replicaOn,
  TestCluster,
  type TestClusterOptions,
} from './testing/test-cluster.ts'
import { until } from './testing/until.ts'
import type { GroupMessage } from './transport.ts'

const running: TestCluster[] = []

async function cluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const started = await TestCluster.start(options)
  running.push(started)
  return started
}

afterEach(async () => {
  for (const started of running.splice(0)) await started.stop()
})

test('a single node leads its group and commits', async () => {
  const c = await cluster({ nodes: [1] })
  const leader = c.handle(await c.leader())
  const a = propose(leader, 'a', 3)
  const b = propose(leader, 'bb', 2)
  expect(a.result).toMatchObject({ type: 'accepted', baseOffset: 0 })
  expect(b.result).toMatchObject({ type: 'accepted', baseOffset: 3 })
  await until('both are applied', () => b.ending !== undefined)
  expect(a.ending).toMatchObject({ type: 'applied', result: 1, frame: { header: { baseOffset: 0, index: 3 } } })
  expect(b.ending).toMatchObject({ type: 'applied', result: 2, frame: { header: { baseOffset: 3, index: 4 } } })
  expect(leader.log.durable.index).toBe(4)
  expect(c.machine(1).events).toEqual([{ type: 'started', term: leader.term, nextOffset: 0 }])
})

test('three nodes elect a leader and replicate; followers refuse proposals', async () => {
  const c = await cluster()
  const leader = await c.leader()
  for (let i = 0; i < 20; i++) await c.append(`entry ${i}`)
  await c.converged(20)
  for (const id of c.nodeIds) {
    const handle = c.handle(id)
    await until('everybody knows the leader', () => handle.leaderNode === leader)
    if (id !== leader) expect(propose(handle, 'x').result).toMatchObject({ type: 'dropped', reason: 'notLeader' })
  }
  const { followers } = c.handle(leader).status()
  expect(followers.map(follower => follower.node).sort()).toEqual(c.nodeIds.filter(id => id !== leader))
})

test('the frames of all replicas are the same bytes', async () => {
  const c = await cluster()
  for (let i = 0; i < 5; i++) await c.append(`entry ${i}`)
  await c.converged(5)
  const logs = await Promise.all(c.nodeIds.map(id => c.handle(id).log.read(2, c.handle(id).log.durable.index + 1, 1e6)))
  const bytes = logs.map(frames => Buffer.concat(frames.map(frame => frame.bytes)).toString('hex'))
  expect(new Set(bytes).size).toBe(1)
})

test('a killed leader is replaced, and catches up when it is started again', async () => {
  const c = await cluster()
  for (let i = 0; i < 5; i++) await c.append(`before ${i}`)
  const old = await c.leader()
  await c.kill(old)
  for (let i = 0; i < 5; i++) await c.append(`after ${i}`)
  expect(await c.leader()).not.toBe(old)
  await c.startNode(old)
  const entries = await c.converged(10)
  expect(entries.map(entry => entry.split(':')[1])).toEqual([
    ...Array.from({ length: 5 }, (_, i) => `before ${i}`),
    ...Array.from({ length: 5 }, (_, i) => `after ${i}`),
  ])
})

test('all nodes killed at once: what was acknowledged is there after the restart, at its offset', async () => {
  const c = await cluster()
  const frames = []
  for (let i = 0; i < 10; i++) frames.push(await c.append(`entry ${i}`))
  for (const id of c.nodeIds) await c.kill(id)
  for (const id of c.nodeIds) await c.startNode(id)
  await c.append('one more')
  const entries = await c.converged(11)
  expect(entries.slice(0, 10)).toEqual(frames.map((frame, i) => `${frame.header.index}:entry ${i}`))
  expect(frames.map(frame => frame.header.baseOffset)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

test('a checkpoint is not applied again, and everything after it is', async () => {
  const c = await cluster({ nodes: [1], timing: { ...FAST, checkpointIntervalMs: 30 } })
  await c.append('a')
  await c.append('b')
  await until('a checkpoint was written', () => c.checkpoint(1, 7).entries.length === 2)
  await c.append('c')
  const saved = { ...c.checkpoint(1, 7) }
  await c.kill(1)
  expect(saved.applied.index).toBeGreaterThan(0)
  await c.startNode(1)
  await c.append('d')
  expect(c.machine(1).entries.map(entry => entry.split(':')[1])).toEqual(['a', 'b', 'c', 'd'])
})

test('a proposal whose entry was replaced is not stored; one that nobody can tell of is unknown', async () => {
  const c = await cluster()
  await c.append('base')
  const old = await c.leader()
  c.network.isolate(old)
  const lost: Proposal[] = [propose(c.handle(old), 'lost 1'), propose(c.handle(old), 'lost 2')]
  expect(lost.map(proposal => proposal.result.type)).toEqual(['accepted', 'accepted'])
  const others = c.nodeIds.filter(id => id !== old)
  await until('another node leads', () => others.some(id => c.handle(id).leading))
  const next = others.find(id => c.handle(id).leading)!
  const kept = propose(c.handle(next), 'kept')
  await until('the new leader commits', () => kept.ending !== undefined)
  c.network.heal()
  await until('the old leader learns', () => lost.every(proposal => proposal.ending !== undefined))
  expect(lost.map(proposal => proposal.ending?.type)).toEqual(['not_stored', 'not_stored'])
  expect(c.machine(old).events.map(event => event.type)).toEqual(['started', 'stopped'])

  const leader = await c.leader()
  c.network.isolate(leader)
  const adrift = propose(c.handle(leader), 'adrift')
  expect(adrift.result.type).toBe('accepted')
  await until('it is given up', () => adrift.ending !== undefined)
  expect(adrift.ending?.type).toBe('unknown')
})

test('a state machine that throws halts its replica only', async () => {
  const c = await cluster({ nodes: [1], groups: [4, 5] })
  await c.leader(4)
  await c.leader(5)
  c.machine(1, 4).poison = 'bad'
  const bad = propose(c.handle(1, 4), 'bad')
  await until('it halts', () => c.handle(1, 4).status().halted !== undefined)
  expect(c.handle(1, 4).status().halted).toContain('poisoned by bad')
  expect(bad.ending?.type).toBe('unknown')
  expect(propose(c.handle(1, 4), 'x').result).toMatchObject({ type: 'dropped', reason: 'halted' })
  await expect(c.handle(1, 4).readIndex()).rejects.toMatchObject({ code: 'PARTITION_HALTED' })
  await c.append('good', 5)
})

test('a replica that has halted applies nothing more, and acknowledges nothing, whatever is committed after', async () => {
  const c = await cluster()
  const leader = await c.leader()
  const [halting, other] = c.nodeIds.filter(id => id !== leader) as [number, number]
  c.machine(halting).poison = 'bad'
  await c.append('good')
  await c.append('bad')
  await until('it halts', () => c.handle(halting).status().halted !== undefined)
  const { entries } = c.machine(halting)
  const before = entries.length
  const { index } = c.handle(halting).log.durable
  for (let i = 0; i < 5; i++) await c.append(`after ${i}`)
  await until('the other one has all', () => c.machine(other).entries.length === 7)
  expect([entries.length, c.handle(halting).log.durable.index]).toEqual([before, index])
  // It counts for nothing: without the other one nothing is committed.
  await c.kill(other)
  const alone = propose(c.handle(leader), 'alone')
  await until('the leader steps down', () => !c.handle(leader).leading)
  expect(alone.ending?.type).not.toBe('applied')
})

test('a frame of an unknown kind halts the replica and names the kind', async () => {
  const c = await cluster({ nodes: [1] })
  await c.leader()
  const body = {
    kind: 99 as never,
    codec: 0,
    recordCount: 0,
    producerId: new Uint8Array(16),
    producerEpoch: 0,
  } as const
  const waiter = { applied: () => undefined, failed: () => undefined }
  c.handle(1).propose({ ...body, sequence: 0, payload: new Uint8Array(0) }, waiter)
  await until('it halts', () => c.handle(1).status().halted !== undefined)
  expect(c.handle(1).status().halted).toContain('start a version that knows kind 99')
})

test('a corrupt frame is dropped and logged, never stored, and comes again', async () => {
  const c = await cluster()
  await c.append('first')
  await c.converged(1)
  const leader = await c.leader()
  const victim = c.nodeIds.find(id => id !== leader)!
  let corrupted = 0
  c.network.setFilter((_from, to, { message }) => {
    if (to !== victim || message.type !== 'append' || message.entries.length === 0 || corrupted > 0) return true
    const [entry] = message.entries
    const bytes = Uint8Array.from(entry!.payload!.bytes)
    bytes[bytes.length - 8]! ^= 1
    corrupted++
    const bad = { ...entry!, payload: { header: entry!.payload!.header, bytes } }
    c.network.setFilter(undefined)
    c.up.get(leader)!.transport.send(victim, [{ group: 7, message: { ...message, entries: [bad] } }])
    return false
  })
  await c.append('corrupted')
  await c.append('third')
  await c.converged(3)
  expect(corrupted).toBe(1)
  const reports = c.up.get(victim)!.events.filter(event => event.message.includes('payload checksum does not match'))
  expect(reports).toHaveLength(1)
})

test('a follower that is cut off does not stop the others, and catches up', async () => {
  const c = await cluster()
  const leader = await c.leader()
  const stalled = c.nodeIds.find(id => id !== leader)!
  c.network.isolate(stalled)
  for (let i = 0; i < 30; i++) await c.append(`entry ${i}`)
  c.network.heal()
  await c.converged(30)
})

test('a window of appends that is lost as a whole is sent again', async () => {
  const c = await cluster()
  await c.append('first')
  const leader = await c.leader()
  let lost = 0
  c.network.setFilter((_from, _to, { message }) => {
    if (message.type !== 'append' || message.entries.length === 0) return true
    lost += 1
    return false
  })
  const proposals: Proposal[] = []
  // One append each: more than a leader has in flight to both followers.
  for (let i = 0; i < 400; i++) {
    proposals.push(propose(c.handle(leader), `${i}`))
    await new Promise(resolve => setImmediate(resolve))
  }
  await until('the window is lost', () => lost >= 2 * 256)
  c.network.setFilter(undefined)
  await until('all are applied', () => proposals.every(({ ending }) => ending?.type === 'applied'))
  await c.converged(401)
})

interface Envelope {
  readonly term: number
  readonly to: number
}

test('messages of nodes and replicas that do not belong to a group change nothing', async () => {
  const c = await cluster()
  await c.append('a')
  const leader = await c.leader()
  const { term } = c.handle(leader)
  const stranger = c.network.transport(9)
  await stranger.start(new RecordingHandler())
  const member = replicaOn(1 + (leader % 3))
  const [now, later] = [term, term + 50].map(of => ({ term: of, to: replicaOn(leader) })) as [Envelope, Envelope]
  const claims: GroupMessage['message'][] = [
    // As if it were a member, which lives on another node.
    { type: 'heartbeat', ...later, from: member, commit: 0, context: 0 },
    { type: 'vote', ...later, from: member, lastIndex: 1_000, lastTerm: term + 50, transfer: true },
    // For a replica that was on this node before it was wiped.
    { type: 'append', ...later, to: 77, from: replicaOn(9), prevIndex: 1, prevTerm: 1, commit: 1_000, entries: [] },
    // Of one that was removed, or never was a member.
    { type: 'preVote', ...later, from: replicaOn(9), lastIndex: 1_000, lastTerm: term + 50, transfer: false },
    { type: 'appendResponse', ...now, from: replicaOn(9), index: 1_000, rejected: false, hintIndex: 0, hintTerm: 0 },
    { type: 'heartbeatResponse', ...now, from: replicaOn(9), context: 0 },
  ]
  for (const message of claims) stranger.send(leader, [{ group: 7, message }])
  stranger.send(leader, [{ group: 1_234, message: claims[0]! }])
  stranger.sendBeat(leader, { answer: false, session: 5, number: 1, heard: 0, left: [7] })
  stranger.sendBeat(leader, { answer: true, session: 5, number: 1, heard: 0, left: [7] })
  const { events } = c.up.get(leader)!
  const dropped = (): number => events.filter(event => event.message.startsWith('dropped a message of node 9')).length
  await until('those that pretend are dropped', () => dropped() === 2)
  await c.append('b')
  expect([await c.leader(), c.handle(leader).term]).toEqual([leader, term])
  await stranger.close()
  await c.converged(2)
})

test('a hundred groups elect leaders, spread them, and commit', async () => {
  const groups = Array.from({ length: 100 }, (_, i) => i + 1)
  const c = await cluster({ groups })
  await Promise.all(groups.map(group => c.append(`of ${group}`, group)))
  for (const group of groups) await c.converged(1, group)
  const leaders = new Set(groups.map(group => c.leaderOf(group)))
  expect(leaders.size).toBeGreaterThan(1)
})

test('reads: an index from the leader, also on a follower, and applied up to there', async () => {
  const c = await cluster()
  const frame = await c.append('written')
  for (const id of c.nodeIds) {
    await until('a leader is known', () => c.handle(id).leaderNode !== 0)
    const index = await c.handle(id).readIndex()
    expect(index).toBeGreaterThanOrEqual(frame.header.index)
    await c.handle(id).waitApplied(index)
    expect(c.machine(id).entries).toHaveLength(1)
  }
  c.network.isolate(await c.leader())
  await expect(c.handle(await c.leader()).readIndex()).rejects.toMatchObject({ code: 'NO_LEADER' })
})

test('leadership is handed over on request and at shutdown', async () => {
  const c = await cluster()
  await c.append('a')
  const first = await c.leader()
  const second = c.nodeIds.find(id => id !== first)!
  c.handle(first).transferLeadership(second)
  await until('the target leads', () => c.handle(second).leading)
  await c.append('b')
  const term = c.handle(second).term
  await c.up.get(second)!.node.shutdown()
  expect(c.machine(second).closed).toBe(true)
  expect(c.checkpoint(second, 7).entries).toHaveLength(2)
  c.up.delete(second)
  const third = await c.leader()
  expect(c.handle(third).term).toBe(term + 1)
})

test('messages may be lost, doubled and reordered: replicas agree in the end', async () => {
  const c = await cluster()
  await c.leader()
  c.network.setFaults({ dropPermille: 100, duplicatePermille: 100, delayMsMax: 8 })
  const accepted: Proposal[] = []
  for (let i = 0; i < 200; i++) {
    const leader = c.leaderOf()
    if (leader !== 0) accepted.push(propose(c.handle(leader), `entry ${i}`))
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  c.network.setFaults({})
  await until('every proposal ends', () =>
    accepted.every(({ result, ending }) => result.type === 'dropped' || ending !== undefined),
  )
  await c.append('last')
  await until('all have applied the same', () => {
    const [a, b, d] = c.nodeIds.map(id => c.machine(id).entries.join())
    return a === b && b === d
  })
  const applied = c.machine(1).entries
  for (const { ending } of accepted) {
    if (ending?.type === 'applied') {
      const text = new TextDecoder().decode(ending.frame.bytes.subarray(104, 104 + ending.frame.header.payloadLength))
      expect(applied).toContain(`${ending.frame.header.index}:${text}`)
    }
  }
})
