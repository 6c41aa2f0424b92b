/** A cluster on the real log store, on disks that stall, fill up, fail and lose their power. */
import { afterEach, expect, test } from 'vitest'
import { applyCommand } from './apply-command.ts'
import { GroupMembers } from './group-members.ts'
import { FaultyCluster } from './testing/faulty-cluster.ts'
import { RecordingHandler } from './testing/recording-handler.ts'
import { configurationOf, FAST, type Proposal, propose, replicaOn } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'
import type { Transport } from './transport.ts'

const running: FaultyCluster[] = []

async function faulty(...options: Parameters<typeof FaultyCluster.start>): Promise<FaultyCluster> {
  const started = await FaultyCluster.start(...options)
  running.push(started)
  return started
}

afterEach(async () => {
  for (const started of running.splice(0)) await started.stop()
})

function texts(entries: readonly string[]): readonly string[] {
  return entries.map(entry => entry.slice(entry.indexOf(':') + 1))
}

test('a stalled leader disk gives leadership away, and asks for no vote while it stands still', async () => {
  const timing = { ...FAST, electionTimeoutMinMs: 2_000 }
  const f = await faulty({ timing })
  const { c } = f
  await c.append('before')
  const old = await c.leader()
  f.stall(old, '.log')
  const caught = propose(c.handle(old), 'caught in the write')
  expect(caught.result.type).toBe('accepted')
  await f.stalled(old)
  const sent = { heartbeat: 0, timeoutNow: 0, preVote: 0 }
  c.network.setFilter((from, _to, { message: { type } }) => {
    if (from === old && (type === 'heartbeat' || type === 'timeoutNow' || type === 'preVote')) sent[type] += 1
    return true
  })
  f.clocks.get(old)!.advance(timing.electionTimeoutMinMs - 1)
  await until('it goes on for now', () => sent.heartbeat > 4)
  expect([c.handle(old).leading, caught.ending, sent.timeoutNow]).toEqual([true, undefined, 0])
  f.clocks.get(old)!.advance(1)
  await until('it hands over', () => sent.timeoutNow > 0)
  await until('another one leads', () => ![0, old].includes(c.leaderOf()))
  await c.append('meanwhile')
  expect([c.handle(old).leading, sent.preVote]).toEqual([false, 0])
  f.goOn(old)
  expect(texts(await c.converged(3))).toEqual(['before', 'caught in the write', 'meanwhile'])
})

test('a leader whose disk stalls, and who can hand over to nobody, falls silent: the others elect without it', async () => {
  const f = await faulty()
  const { c } = f
  await c.append('before')
  const old = await c.leader()
  const { term } = c.handle(old)
  f.stall(old, '.log')
  propose(c.handle(old), 'caught in the write')
  const others = c.nodeIds.filter(id => id !== old)
  await f.stalled(old)
  c.network.setFilter((_from, _to, { message }) => message.type !== 'timeoutNow')
  f.clocks.get(old)!.advance(FAST.electionTimeoutMinMs!)
  await until('another one leads', () => others.some(id => c.handle(id).leading))
  expect(c.handle(others.find(id => c.handle(id).leading)!).term).toBeGreaterThan(term)
  c.network.setFilter(undefined)
  f.goOn(old)
  expect(texts(await c.converged(2))).toEqual(['before', 'caught in the write'])
})

test('full disks on all nodes at once: records are refused; elections, commands, changes of members and restarts go on', async () => {
  const f = await faulty()
  const { c } = f
  await c.append('before')
  await f.fillUp(true)
  const old = await c.leader()
  expect(propose(c.handle(old), 'x').result).toMatchObject({ type: 'dropped', reason: 'diskFull' })
  await f.kill(old)
  const next = await c.leader()
  expect(propose(c.handle(next), 'x').result).toMatchObject({ type: 'dropped', reason: 'diskFull' })
  // What frees space needs an entry itself.
  await applyCommand(c.handle(next), new TextEncoder().encode('delete'))
  const configuration = await new GroupMembers(c.handle(next)).demote(replicaOn(old))
  expect(configuration.learners).toEqual([replicaOn(old)])
  await c.startNode(old)
  await until('it has the change', () => c.handle(old).status().configuration.learners.includes(replicaOn(old)))
  await f.fillUp(false)
  await c.append('after')
  expect(texts(await c.converged(3))).toEqual(['before', 'delete', 'after'])
})

test('fdatasync fails on a majority, then power is lost: nothing was acknowledged that is not there', async () => {
  const f = await faulty()
  const { c } = f
  const acknowledged: string[] = []
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 3; i++) {
      await c.append(`${round}.${i}`)
      acknowledged.push(`${round}.${i}`)
    }
    const leader = await c.leader()
    const followers = c.nodeIds.filter(id => id !== leader)
    f.fail(round % 2 === 0 ? [leader, followers[0]!] : followers)
    const lost: Proposal[] = [0, 1, 2].map(i => propose(c.handle(leader), `lost ${round}.${i}`))
    await until('two disks have failed', () => f.fatal.length === 2)
    expect(f.fatal.map(({ error }) => error.code)).toEqual(['IO', 'IO'])
    f.fatal.length = 0
    expect(lost.filter(({ ending }) => ending?.type === 'applied')).toEqual([])
    await f.losePower()
    await c.append(`after ${round}`)
    acknowledged.push(`after ${round}`)
    const machine = c.machine(await c.leader())
    expect(texts(machine.entries).filter(text => !text.startsWith('lost'))).toEqual(acknowledged)
    await c.converged(machine.entries.length)
  }
})

/** One of three voters, and the nodes of the other two, which say what a test has them say. */
class Electorate {
  readonly f: FaultyCluster
  readonly #nodes = new Map<number, { readonly transport: Transport; readonly heard: RecordingHandler }>()

  private constructor(f: FaultyCluster) {
    this.f = f
  }

  static async start(): Promise<Electorate> {
    const electorate = new Electorate(await faulty({ nodes: [1], configuration: configurationOf([1, 2, 3]) }))
    for (const node of [2, 3]) {
      const transport = electorate.f.c.network.transport(node)
      const heard = new RecordingHandler()
      await transport.start(heard)
      electorate.#nodes.set(node, { transport, heard })
    }
    return electorate
  }

  /** A candidate of that node asks for the vote of the replica on node 1. */
  ask(node: number, term: number): void {
    const places = { from: replicaOn(node), to: replicaOn(1) }
    const message = { type: 'vote', ...places, term, lastIndex: 9, lastTerm: term - 1, transfer: true } as const
    this.#nodes.get(node)!.transport.send(1, [{ group: 7, message }])
  }

  /** What the replica on node 1 has answered to candidates of that node, oldest first. */
  answers(node: number): readonly string[] {
    const messages = this.#nodes.get(node)!.heard.received.map(({ message }) => message.message)
    return messages.flatMap(m => (m.type === 'voteResponse' ? [`${m.granted ? 'yes' : 'no'} in term ${m.term}`] : []))
  }
}

test('a vote is not answered before it is durable, and binds the process after a loss of power', async () => {
  const e = await Electorate.start()
  e.f.stall(1, '/votes')
  e.ask(2, 5)
  await e.f.stalled(1)
  e.ask(2, 5)
  e.ask(3, 5)
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  expect([e.f.c.handle(1).status().term, e.answers(2), e.answers(3)]).toEqual([5, [], []])
  e.f.goOn(1)
  await until('all three are answered', () => e.answers(2).length === 2 && e.answers(3).length === 1)
  expect([e.answers(2), e.answers(3)]).toEqual([['yes in term 5', 'yes in term 5'], ['no in term 5']])
  for (let round = 0; round < 3; round++) {
    await e.f.losePower()
    expect(e.f.c.handle(1).status().term).toBe(5)
    const before = e.answers(3).length
    e.ask(3, 5)
    await until('it is answered', () => e.answers(3).length > before)
    expect(e.answers(3).at(-1)).toBe('no in term 5')
    e.ask(2, 5)
    await until('it is answered too', () => e.answers(2).length === 3 + round)
    expect(e.answers(2).at(-1)).toBe('yes in term 5')
  }
})

test('a vote that power was lost under is given to another candidate only where nobody was told of it', async () => {
  const e = await Electorate.start()
  let again = 0
  for (let term = 5; term < 25; term++) {
    e.f.stall(1, '/votes')
    e.ask(2, term)
    await e.f.stalled(1)
    await e.f.losePower()
    expect(e.answers(2)).toEqual([])
    e.ask(3, term)
    const told = e.answers(3).length
    await until('it is answered', () => e.answers(3).length > told)
    // Whatever of the vote reached the disk: now it is told, and stays so.
    const answer = e.answers(3).at(-1)
    if (answer === `yes in term ${term}`) again += 1
    await e.f.losePower()
    e.ask(3, term)
    await until('it is answered as before', () => e.answers(3).length > told + 1)
    expect(e.answers(3).at(-1)).toBe(answer)
  }
  expect(again).toBeGreaterThan(0)
})

test('a replica whose log has lost its end neither votes nor campaigns until a leader has matched it, and then for good', async () => {
  const f = await faulty()
  const { c } = f
  for (let i = 0; i < 5; i++) await c.append(`entry ${i}`)
  const damaged = c.nodeIds.find(id => id !== c.leaderOf())!
  await c.converged(5)
  const { lastIndex } = c.handle(damaged).status()
  await f.shutdown(damaged)
  f.cutLog(damaged)
  const answers: string[] = []
  let isolated = true
  c.network.setFilter((from, to, { message }) => {
    if (from === damaged) answers.push(message.type === 'voteResponse' ? `voted ${message.granted}` : message.type)
    return (message.type === 'vote' && message.term >= 100) || !isolated || (from !== damaged && to !== damaged)
  })
  await c.startNode(damaged)
  expect(c.handle(damaged).log.recovered.uncertainUntil).toMatchObject({ index: lastIndex })
  const ask = (term: number): void => {
    const places = { from: replicaOn(c.nodeIds.find(id => id !== damaged)!), to: replicaOn(damaged) }
    const message = { type: 'vote', ...places, term, lastIndex: 900, lastTerm: term - 1, transfer: true } as const
    c.up.get(c.nodeIds.find(id => id !== damaged)!)!.transport.send(damaged, [{ group: 7, message }])
  }
  ask(100)
  await until('it answers', () => answers.length > 0)
  expect(answers).toEqual(['voted false'])

  isolated = false
  // Whoever led hears of the term that was asked for, and steps down.
  await until('a leader of a later term', () => c.leaderOf() !== 0 && c.handle(c.leaderOf()).term > 100)
  await c.append('after')
  await until('it is repaired', () => c.machine(damaged).entries.length === 6)
  await f.shutdown(damaged)
  await c.startNode(damaged)
  expect(c.handle(damaged).log.recovered.uncertainUntil).toBeUndefined()
  answers.length = 0
  ask(200)
  await until('it votes', () => answers.includes('voted true'))
})
