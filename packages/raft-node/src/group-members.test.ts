import { MillraceError } from '@millrace/record'
import { afterEach, expect, test } from 'vitest'
import type { GroupConfiguration, ReplicaPlace } from './group-handle.ts'
import { GroupMembers } from './group-members.ts'
import { Load } from './testing/load.ts'
import { configurationOf, replicaOn, TestCluster, type TestClusterOptions } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

const running: TestCluster[] = []

async function cluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const started = await TestCluster.start(options)
  running.push(started)
  return started
}

afterEach(async () => {
  for (const started of running.splice(0)) await started.stop()
})

function place(node: number, replica: number = replicaOn(node)): ReplicaPlace {
  return { replica, node }
}

async function members(c: TestCluster): Promise<GroupMembers> {
  return new GroupMembers(c.handle(await c.leader()))
}

/** On whoever leads: a leader may be lost on a busy machine, and the same call made again goes on where the first one got. */
async function surely(
  c: TestCluster,
  change: (members: GroupMembers, now: GroupConfiguration) => Promise<GroupConfiguration>,
): Promise<GroupConfiguration> {
  for (;;) {
    try {
      const leader = c.handle(await c.leader())
      return await change(new GroupMembers(leader), leader.status().configuration)
    } catch (error) {
      if (!(error instanceof MillraceError) || !PASSING.has(error.code)) throw error
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}

const PASSING: ReadonlySet<string> = new Set([
  'NOT_LEADER',
  'NO_LEADER',
  'LEADER_STARTING',
  'LEADERSHIP_LOST',
  'CHANGE_IN_PROGRESS',
  'APPEND_TIMEOUT',
  'REPLICA_BEHIND',
])

function votersOf({ voters, votersOutgoing, learners }: GroupConfiguration): unknown {
  return { voters, votersOutgoing, learners }
}

/** Until every member that is up is in the configuration in which the leader is. */
async function agreed(c: TestCluster): Promise<void> {
  const seen = async (): Promise<string[]> => {
    const { configuration } = c.handle(await c.leader()).status()
    const nodes = configuration.places.map(({ node }) => node).filter(node => c.up.has(node))
    return [configuration, ...nodes.map(node => c.handle(node).status().configuration)].map(one => JSON.stringify(one))
  }
  for (let agree = false; !agree; ) {
    agree = new Set(await seen()).size === 1
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

test('add a learner, promote, demote and remove it, while writes go on', async () => {
  const c = await cluster()
  await c.leader()
  const load = new Load(c)
  await c.startNode(4)
  const learner = await surely(c, m => m.addLearner(place(4)))
  expect(votersOf(learner)).toEqual({ voters: [11, 12, 13], votersOutgoing: [], learners: [14] })
  expect(learner.places).toContainEqual({ replica: 14, node: 4 })
  expect(votersOf(await surely(c, m => m.promote(14)))).toMatchObject({ voters: [11, 12, 13, 14], learners: [] })
  expect(votersOf(await surely(c, m => m.demote(12)))).toMatchObject({ voters: [11, 13, 14], learners: [12] })
  const removed = await surely(c, async (m, now) => (now.learners.includes(12) ? m.remove(12) : now))
  expect(votersOf(removed)).toMatchObject({ voters: [11, 13, 14], learners: [] })
  await load.stop()
  expect(load.acknowledged).toBeGreaterThan(0)
  await agreed(c)
  const up = [...c.up.keys()].filter(node => node !== 2)
  await until('members have all', () => up.every(node => c.machine(node).lastIndex === c.machine(up[0]!).lastIndex))
  for (const node of up) load.check(c.machine(node).entries)
})

test('the same call made again goes on where the first one got, and what is so is done', async () => {
  const c = await cluster()
  const m = await members(c)
  await c.startNode(4)
  await m.addLearner(place(4))
  const voter = await m.addVoter(place(4))
  const { commit } = c.handle(await c.leader()).status()
  expect(await m.addVoter(place(4))).toEqual(voter)
  expect(await m.promote(14)).toEqual(voter)
  const without = await m.demote(14)
  expect(await m.demote(14)).toEqual(without)
  expect(await m.addLearner(place(4))).toEqual(without)
  expect(c.handle(await c.leader()).status().commit).toBe(commit + 1)
})

test('refused by name: not the leader, unknown replica, an id or node that is taken, no voter left', async () => {
  const addressed = configurationOf([1, 2, 3])
  const places = addressed.places.map(one => ({ ...one, address: `127.0.0.1:${7000 + one.node}` }))
  const c = await cluster({ configuration: { ...addressed, places } })
  const leader = await c.leader()
  const follower = c.nodeIds.find(id => id !== leader)!
  await until('the follower knows the leader', () => c.handle(follower).leaderNode === leader)
  await expect(new GroupMembers(c.handle(follower)).remove(11)).rejects.toMatchObject({
    ...{ code: 'NOT_LEADER', outcome: 'not_stored' },
    details: { leaderNode: leader, leaderAddress: `127.0.0.1:${7000 + leader}` },
  })
  const m = await members(c)
  const before = c.handle(leader).status()
  await expect(m.remove(99)).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('11, 12, 13'),
  })
  await expect(m.promote(99)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(m.demote(99)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(m.replace(99, place(4))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(m.addLearner(place(4, 5))).rejects.toMatchObject({
    message: expect.stringContaining('never used again'),
  })
  await expect(m.addVoter(place(2, 20))).rejects.toMatchObject({
    message: expect.stringContaining('node 2 has replica 12'),
  })
  await expect(m.replace(11, place(2, 20))).rejects.toMatchObject({
    message: expect.stringContaining('node 2 has replica 12'),
  })
  expect(c.handle(leader).status()).toMatchObject({ lastIndex: before.lastIndex, configuration: before.configuration })

  const alone = await cluster({ nodes: [1] })
  const only = await members(alone)
  await expect(only.remove(11)).rejects.toMatchObject({ message: expect.stringContaining('only voter') })
  await expect(only.demote(11)).rejects.toMatchObject({ message: expect.stringContaining('only voter') })
})

test('a removed replica id is never used again, even when it was the highest', async () => {
  const c = await cluster()
  await c.startNode(4)
  const m = await members(c)
  await m.addLearner(place(4, 17))
  await m.remove(17)
  await expect(m.addLearner(place(4, 17))).rejects.toMatchObject({ message: expect.stringContaining('17 was') })
  const old = await c.leader()
  await c.kill(old)
  const next = await members(c)
  await expect(next.addLearner(place(4, 16))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('one change at a time', async () => {
  const c = await cluster()
  await c.startNode(4)
  await c.startNode(5)
  const m = await members(c)
  const first = m.addLearner(place(4))
  await expect(m.addLearner(place(5))).rejects.toMatchObject({ code: 'CHANGE_IN_PROGRESS', outcome: 'not_stored' })
  await first
  expect((await m.addLearner(place(5))).learners).toEqual([14, 15])
})

test('no change before an entry of the own term is committed', async () => {
  const c = await cluster()
  const old = await c.leader()
  const followers = c.nodeIds.filter(id => id !== old)
  // Votes pass, and nothing that a new leader appends is acknowledged.
  c.network.setFilter((from, to, { message }) => from === old || to === old || message.type !== 'appendResponse')
  await c.kill(old)
  const elected = (): number | undefined => followers.find(id => c.handle(id).status().role === 'leader')
  await until('a new leader is elected', () => elected() !== undefined)
  const refused = new GroupMembers(c.handle(elected()!)).remove(replicaOn(old))
  await expect(refused).rejects.toMatchObject({ code: 'LEADER_STARTING', outcome: 'not_stored' })
  c.network.setFilter(undefined)
  expect((await (await members(c)).remove(replicaOn(old))).voters).toHaveLength(2)
})

test('a learner that does not catch up stays a learner', async () => {
  const c = await cluster()
  const m = await members(c)
  await m.addLearner(place(4))
  await expect(m.promote(14, { catchUpMs: 50 })).rejects.toMatchObject({
    code: 'REPLICA_BEHIND',
    outcome: 'not_stored',
  })
  expect(votersOf(c.handle(await c.leader()).status().configuration)).toMatchObject({
    voters: [11, 12, 13],
    learners: [14],
  })
})

test('a learner counts in no quorum, and does not campaign', async () => {
  const c = await cluster()
  await c.startNode(4)
  await (await members(c)).addLearner(place(4))
  await c.append('with a learner')
  const leader = await c.leader()
  const others = c.nodeIds.filter(id => id !== leader)
  for (const id of others) await c.kill(id)
  await until('the leader steps down without a quorum', () => c.handle(leader).status().role !== 'leader')
  await c.kill(leader)
  const { events } = c.up.get(4)!
  await until('the learner misses its leader', () => c.handle(4).leaderNode === 0)
  for (const id of others) await c.startNode(id)
  await c.append('again')
  expect(events.filter(({ message }) => /^(preCandidate|candidate|leader) in/.test(message))).toEqual([])
})

test('a leader that is removed commits that, steps down, and another one leads soon', async () => {
  const c = await cluster()
  const load = new Load(c)
  const old = await c.leader()
  const configuration = await (await members(c)).remove(replicaOn(old))
  expect(configuration.voters).not.toContain(replicaOn(old))
  await until('it steps down', () => !c.handle(old).leading)
  const others = c.nodeIds.filter(id => id !== old)
  await until('another one leads', () => others.some(id => c.handle(id).leading))
  const acknowledged = load.acknowledged
  await until('writes go on', () => load.acknowledged > acknowledged)
  await load.stop()
  await until('both have all', () => new Set(others.map(id => c.machine(id).lastIndex)).size === 1)
  for (const id of others) load.check(c.machine(id).entries)
})

test('a removed server with a high term does not depose the leader', async () => {
  const c = await cluster()
  const leader = await c.leader()
  const removed = c.nodeIds.find(id => id !== leader)!
  c.network.isolate(removed)
  await (await members(c)).remove(replicaOn(removed))
  // It has not heard of it, and campaigns as soon as it is heard.
  c.network.heal()
  const { term } = c.handle(leader)
  let tries = 0
  c.network.setFilter((from, _to, { message }) => {
    if (from === removed && message.type === 'preVote') tries += 1
    return true
  })
  await until('it campaigns', () => tries > 4)
  await c.append('still here')
  expect(c.handle(leader)).toMatchObject({ leading: true, term })
})

test('replace: the number of voters stays, the old one goes at once with the vote of the new one', async () => {
  const c = await cluster()
  await c.leader()
  const load = new Load(c)
  const lost = c.nodeIds.find(id => id !== c.leaderOf())!
  await c.kill(lost)
  await c.startNode(4)
  const counts = new Set<number>()
  const watched = c.handle(await c.leader())
  watched.observe(() => counts.add(watched.status().configuration.voters.length))
  const configuration = await (await members(c)).replace(replicaOn(lost), place(4))
  expect(configuration.voters).toEqual([11, 12, 13, 14].filter(id => id !== replicaOn(lost)))
  expect([...counts]).toEqual([3])
  await load.stop()
  await until('the new one has all', () => c.machine(4).lastIndex === c.machine(c.leaderOf()).lastIndex)
  load.check(c.machine(4).entries)
})

test('a wiped node is no voter: under a new replica id it is a learner first', async () => {
  const c = await cluster()
  await c.append('before')
  const lost = c.nodeIds.find(id => id !== c.leaderOf())!
  await c.lose(lost)
  await c.startNode(lost, 20)
  const configuration = await (await members(c)).replace(replicaOn(lost), { replica: 20, node: lost })
  expect(configuration.voters).toContain(20)
  expect(configuration.voters).toHaveLength(3)
  await c.append('after')
  expect((await c.converged(2)).map(entry => entry.split(':')[1])).toEqual(['before', 'after'])
  // Its vote counts: it and one other are a majority.
  await c.kill(c.nodeIds.find(id => id !== lost && id !== c.leaderOf())!)
  await c.append('with the vote of the new one')
})

test('a joint configuration is left even if the leader changes meanwhile', async () => {
  const c = await cluster()
  const old = await c.leader()
  const lost = c.nodeIds.find(id => id !== old)!
  await c.startNode(4)
  await (await members(c)).addLearner(place(4))
  // Whoever leads hears of its own joint configuration that it is committed, and dies of it.
  const handle = c.handle(old)
  const joint = new Promise<void>(resolve => {
    handle.observe(() => handle.status().configuration.votersOutgoing.length > 0 && resolve())
  })
  const change = (await members(c)).replace(replicaOn(lost), place(4)).catch((error: unknown) => error)
  await joint
  await c.kill(old)
  expect(await change).toMatchObject({ outcome: 'unknown' })
  await until('the joint configuration is left', () => {
    const leader = c.leaderOf()
    if (leader === 0) return false
    const { voters, votersOutgoing } = c.handle(leader).status().configuration
    return votersOutgoing.length === 0 && voters.includes(14) && !voters.includes(replicaOn(lost))
  })
  await c.append('under the new one')
})

test('a replica without a configuration neither votes nor campaigns until a snapshot brings it one', async () => {
  const c = await cluster()
  await c.append('before')
  await c.startNode(4)
  const newcomer = c.handle(4)
  const said: string[] = []
  c.network.setFilter((from, _to, { message }) => {
    if (from === 4) said.push(message.type)
    return true
  })
  const leader = await c.leader()
  const ask = (type: 'vote' | 'preVote'): void =>
    c.up.get(leader)!.transport.send(4, [
      {
        group: 7,
        message: { type, from: replicaOn(leader), to: 14, term: 90, lastIndex: 90, lastTerm: 90, transfer: true },
      },
    ])
  ask('vote')
  ask('preVote')
  await c.append('after')
  expect(newcomer.status()).toMatchObject({ role: 'follower', term: 0, lastIndex: 0, configuration: { voters: [] } })
  expect(said).toEqual([])
  await (await members(c)).addVoter(place(4))
  expect((await c.converged(2)).map(entry => entry.split(':')[1])).toEqual(['before', 'after'])
  await until('it knows that it is a voter', () => newcomer.status().configuration.voters.includes(14))
  ask('preVote')
  await until('it answers now', () => said.includes('preVoteResponse'))
})

test('truncation across a change rolls it back: who was to be added speaks to nobody', async () => {
  const c = await cluster()
  await c.startNode(4)
  const old = await c.leader()
  c.network.isolate(old)
  const lost = new GroupMembers(c.handle(old)).addLearner(place(4)).catch((error: unknown) => error)
  await until(
    'the change is in the log of the old leader',
    () => c.handle(old).log.durable.index === c.handle(old).status().lastIndex,
  )
  const others = c.nodeIds.filter(id => id !== old)
  await until('another one leads', () => others.some(id => c.handle(id).leading))
  c.network.heal()
  expect(await lost).toMatchObject({ outcome: 'not_stored' })
  await c.append('instead')
  await until('the old leader has it', () => c.machine(old).entries.length === 1)
  for (const id of c.nodeIds) expect(c.handle(id).status().configuration.learners).toEqual([])
  // The id was never a member: it is free.
  expect((await (await members(c)).addLearner(place(4))).learners).toEqual([14])
})

test('a leader that was added after what a newcomer has applied is not taken for a removed one', async () => {
  const c = await cluster()
  await c.startNode(4)
  await (await members(c)).addVoter(place(4))
  c.handle(await c.leader()).transferLeadership(4)
  await until('the new one leads', () => c.handle(4).leading)
  const newcomer = await c.startNode(5)
  await new GroupMembers(c.handle(4)).addVoter(place(5))
  await until('it has all', () => c.machine(5).lastIndex === c.machine(4).lastIndex)
  const leaders = newcomer.events.flatMap(({ details }) => (details?.leading === undefined ? [] : [details.leaderNode]))
  expect(new Set(leaders.slice(leaders.indexOf(4)))).toEqual(new Set([4]))
})

test('a leader is replaced too: it changes the members, steps down, and the new replica votes', async () => {
  const c = await cluster()
  const old = await c.leader()
  const load = new Load(c)
  await c.startNode(4)
  const configuration = await (await members(c)).replace(replicaOn(old), place(4))
  expect(configuration.voters).toEqual([11, 12, 13, 14].filter(id => id !== replicaOn(old)))
  expect(configuration.votersOutgoing).toEqual([])
  const acknowledged = load.acknowledged
  await until('writes go on', () => load.acknowledged > acknowledged + 20)
  await c.kill(old)
  await load.stop()
  const nodes = configuration.places.map(({ node }) => node)
  await until('all have all', () => new Set(nodes.map(node => c.machine(node).lastIndex)).size === 1)
  for (const node of nodes) load.check(c.machine(node).entries)
})
