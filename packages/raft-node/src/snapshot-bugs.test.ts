/** Defects that other implementations of Raft have had around snapshots, each as a test of a whole replica. */
import { expect, onTestFinished, test, vi } from 'vitest'
import { BIRTH, framesAfter, type MadeSnapshot, madeSnapshot, ScriptedLeader } from './testing/scripted-leader.ts'
import { SnapshotCluster, type SnapshotNode } from './testing/snapshot-cluster.ts'
import { replicaOn } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

/** Node 2 as it is, nodes 1 and 3 as the test has them. */
async function follower(): Promise<{
  c: SnapshotCluster
  node: SnapshotNode
  one: ScriptedLeader
  three: ScriptedLeader
}> {
  const c = new SnapshotCluster()
  onTestFinished(() => c.stop())
  const node = await c.startNode(2)
  const one = await ScriptedLeader.on(c.network, 1)
  const three = await ScriptedLeader.on(c.network, 3)
  onTestFinished(async () => {
    await one.close()
    await three.close()
  })
  return { c, node, one, three }
}

function log(node: SnapshotNode): { base: number; last: number } {
  const [group] = node.store.groups()
  return { base: group!.base.index, last: group!.end.index }
}

/** Stops the node, as far as its log sees it, where the log is about to be discarded. */
function crashAtReset(node: SnapshotNode): { readonly due: boolean; now(): void } {
  let stop: ((error: Error) => void) | undefined
  node.store.groups()[0]!.reset = () =>
    new Promise((_, reject) => {
      stop = reject
    })
  return {
    get due() {
      return stop !== undefined
    },
    now: () => stop?.(new Error('crash')),
  }
}

/** Waits until the snapshot is installed, with its log. */
function installed(node: SnapshotNode, { info }: MadeSnapshot): Promise<void> {
  return until('it is installed', () => log(node).base === info.index && node.handle.status().applied >= info.index)
}

test('half received is never loaded, and goes on from there in the same process', async () => {
  const { c, node, one } = await follower()
  const made = await madeSnapshot(50, 3, [1, 2, 3, 4])
  const events = await one.offer(2, 3, made)
  await one.chunks(events, made, 0, 2_000)
  one.breakCall()
  expect([node.fsm.restores, log(node)]).toEqual([0, { base: 1, last: 1 }])
  const again = await one.offer(2, 3, made)
  expect(again.answers[0]).toMatchObject({ received: 2_000, done: false })
  one.breakCall()
  await c.kill(2)
  const next = await c.startNode(2)
  expect([next.fsm.restores, next.fsm.keys, log(next)]).toEqual([0, [], { base: 1, last: 1 }])
  // Of a part nothing is left.
  expect((await one.offer(2, 3, made)).answers[0]).toMatchObject({ received: 0, done: false })
})

test('what is installed is acknowledged, and the log goes on after it', async () => {
  const { c, node, one } = await follower()
  const made = await madeSnapshot(50, 3, [1, 2])
  await one.snapshot(2, 3, made)
  await until('it is acknowledged', () => one.acknowledged === 50)
  expect([node.fsm.keys, log(node)]).toEqual([[1, 2], { base: 50, last: 50 }])
  one.append(2, 3, made.info, framesAfter(made.info, 3, [7]), 51)
  await until('the next entry is applied', () => node.handle.status().applied === 51)
  expect([node.fsm.keys, node.fsm.commands]).toEqual([[1, 2, 7], 1])
  await c.kill(2)
  const next = await c.startNode(2)
  one.heartbeat(2, 3, 51)
  await until('it is applied again', () => next.handle.status().applied === 51)
  expect([next.fsm.keys, next.fsm.restores, next.fsm.commands]).toEqual([[1, 2, 7], 1, 1])
})

test('older than applied is ignored, and answered with what is here', async () => {
  const { node, one } = await follower()
  const made = await madeSnapshot(50, 3, [1])
  await one.snapshot(2, 3, made)
  await installed(node, made)
  const events = await one.offer(2, 3, await madeSnapshot(40, 3, [9]))
  expect(events.answers).toEqual([{ term: 3, received: expect.any(Number), done: true }])
  await until('it is acknowledged', () => one.handler.types().filter(type => type === 'appendResponse').length >= 2)
  expect([one.acknowledged, node.fsm.keys, node.fsm.restores, log(node)]).toEqual([50, [1], 1, { base: 50, last: 50 }])
})

test('conflicting with what is committed is refused: nothing is changed', async () => {
  const { node, one } = await follower()
  const frames = framesAfter(BIRTH, 3, [1, 2, 3])
  one.append(2, 3, BIRTH, frames, 4)
  await until('all is committed', () => node.handle.status().applied === 4)
  await one.snapshot(2, 4, await madeSnapshot(3, 4, [9]))
  await until('it is answered', () => one.acknowledged === 4 && node.handle.status().term === 4)
  expect([node.fsm.keys, node.fsm.restores, log(node)]).toEqual([[1, 2, 3], 0, { base: 1, last: 4 }])
})

test('a log that holds its last entry is not discarded', async () => {
  const { node, one } = await follower()
  one.append(2, 3, BIRTH, framesAfter(BIRTH, 3, [1, 2, 3, 4]), 0)
  await until('the entries are there', () => one.acknowledged === 5)
  await one.snapshot(2, 3, await madeSnapshot(4, 3, [1, 2, 3]))
  await until('what it covers is committed', () => node.handle.status().applied === 4)
  expect([log(node), node.fsm.keys, node.fsm.restores]).toEqual([{ base: 1, last: 5 }, [1, 2, 3], 0])
})

test('a candidate steps down and takes it', async () => {
  const { node, one } = await follower()
  // It becomes a candidate by the pre-vote of node 1, which then tells of another winner of that term.
  const asked = (type: 'preVote' | 'vote'): { term: number } | undefined =>
    one.handler.received.map(({ message }) => message.message).find(message => message.type === type)
  await until('it asks for pre-votes', () => asked('preVote') !== undefined)
  const { term } = asked('preVote')!
  one.send(2, { type: 'preVoteResponse', from: one.replica, to: replicaOn(2), term, granted: true })
  await until('it is a candidate', () => asked('vote') !== undefined && node.handle.status().role === 'candidate')
  const made = await madeSnapshot(50, 1, [1])
  await one.snapshot(2, asked('vote')!.term, made)
  await installed(node, made)
  expect(node.handle.status()).toMatchObject({ role: 'follower', leaderNode: 1, term: asked('vote')!.term })
  expect(node.fsm.keys).toEqual([1])
})

test('a new leader during the transfer: the old one is refused, the new one goes on with it', async () => {
  const { node, one, three } = await follower()
  const made = await madeSnapshot(50, 3, [1, 2, 3])
  const old = await one.offer(2, 3, made)
  await one.chunks(old, made, 0, 2_000)
  three.heartbeat(2, 4)
  await until('the new leader is known', () => node.handle.status().term === 4)
  await one.chunks(old, made, 2_000, 3_000)
  expect(old.answers.at(-1)).toMatchObject({ term: 4, refused: 'its sender leads no longer' })
  expect((await one.offer(2, 3, made)).answers[0]).toMatchObject({ term: 4, refused: 'its sender leads no longer' })
  const events = await three.offer(2, 4, made)
  expect(events.answers[0]).toMatchObject({ received: 2_000 })
  await three.chunks(events, made, 2_000)
  await installed(node, made)
  await until('the new leader is told', () => three.acknowledged === 50)
  expect(one.acknowledged).toBe(0)
})

test('a crash after the state is durable and before the log is discarded: the state is ahead, and the log follows', async () => {
  const { c, node, one } = await follower()
  one.append(2, 3, BIRTH, framesAfter(BIRTH, 3, [90, 91]), 2)
  await until('entries are there, and one is applied', () => one.acknowledged === 3 && node.fsm.commands === 1)
  const crash = crashAtReset(node)
  const made = await madeSnapshot(50, 4, [1, 2])
  await one.snapshot(2, 4, made)
  await until('the log is about to be discarded', () => crash.due)
  // Durable is the state at that moment; the promise that it is all installed has not been given.
  expect([node.fsm.restores, node.snapshotStore.list()[0]!.index, one.acknowledged]).toEqual([1, 50, 3])
  crash.now()
  await c.kill(2)
  const next = await c.startNode(2)
  const [recovered] = next.store.groups()
  // The snapshot's commit index has not made entries of the old log committed that it does not speak of.
  expect(recovered!.recovered).toMatchObject({ base: { index: 1 }, last: { index: 3 }, commit: 2 })
  expect([next.fsm.restores, next.fsm.keys]).toEqual([1, [1, 2]])
  const events = await one.snapshot(2, 4, made)
  expect(events.answers[0]).toMatchObject({ done: true })
  await installed(next, made)
  one.append(2, 4, made.info, framesAfter(made.info, 4, [7]), 51)
  await until('the log goes on', () => next.handle.status().applied === 51)
  expect(next.fsm.keys).toEqual([1, 2, 7])
})

test('a state that is ahead of its log takes no entry twice where the entries come instead', async () => {
  const { c, node, one } = await follower()
  const frames = framesAfter(BIRTH, 3, [1, 2, 3, 4])
  const crash = crashAtReset(node)
  await one.snapshot(2, 3, await madeSnapshot(4, 3, [1, 2, 3]))
  await until('the state is there', () => crash.due)
  crash.now()
  await c.kill(2)
  const next = await c.startNode(2)
  one.append(2, 3, BIRTH, frames, 5)
  await until('everything is applied', () => next.handle.status().applied === 5)
  expect([next.fsm.keys, next.fsm.commands]).toEqual([[1, 2, 3, 4], 1])
})

test('a snapshot that is there and damaged has to come again', async () => {
  const { node, one } = await follower()
  const made = await madeSnapshot(50, 3, [1, 2])
  const list = vi.spyOn(node.snapshotStore, 'list').mockReturnValue([made.info])
  vi.spyOn(node.snapshotStore, 'openNewest').mockImplementationOnce(async () => {
    list.mockRestore()
    return null
  })
  await one.snapshot(2, 3, made)
  await installed(node, made)
  expect([node.handle.status().halted, node.fsm.keys]).toEqual([undefined, [1, 2]])
})

test.each([
  ['of the group', (node: SnapshotNode) => node.node.closeGroup(node.handle.group)],
  ['of the node', (node: SnapshotNode) => node.node.shutdown()],
])('a store that dies while a snapshot is installed does not hold up the end %s', async (_, end) => {
  const { node, one } = await follower()
  const crash = crashAtReset(node)
  await one.snapshot(2, 3, await madeSnapshot(50, 3, [1]))
  await until('the log is about to be discarded', () => crash.due)
  await end(node)
  expect([node.handle.status().halted !== undefined, one.acknowledged]).toEqual([true, 0])
})

test('a state that cannot be restored halts the replica and leaves the log; the next start has the snapshot', async () => {
  const { c, node, one } = await follower()
  one.append(2, 3, BIRTH, framesAfter(BIRTH, 3, [90]), 0)
  await until('an entry is there', () => one.acknowledged === 2)
  node.fsm.failure = new Error('no such format')
  const made = await madeSnapshot(50, 3, [1])
  await one.snapshot(2, 3, made)
  await until('it is halted', () => node.handle.status().halted !== undefined)
  expect(node.handle.status().halted).toBe('a snapshot could not be installed: no such format')
  expect([one.acknowledged, log(node)]).toEqual([2, { base: 1, last: 2 }])
  await c.kill(2)
  const next = await c.startNode(2)
  await one.snapshot(2, 3, made)
  await installed(next, made)
  expect(next.fsm.keys).toEqual([1])
})

test('entries that follow a snapshot are written after it, however long it takes', async () => {
  const { node, one } = await follower()
  const [group] = node.store.groups()
  const reset = group!.reset.bind(group)
  let go: () => void = () => undefined
  const gate = new Promise<void>(resolve => {
    go = resolve
  })
  group!.reset = async base => {
    await gate
    await reset(base)
  }
  const made = await madeSnapshot(50, 3, [1])
  await one.snapshot(2, 3, made)
  await until('the state is there', () => node.fsm.restores === 1)
  one.append(2, 3, made.info, framesAfter(made.info, 3, [5, 6]), 51)
  one.append(2, 3, { index: 52, term: 3 }, [], 52)
  await until('they are known', () => node.handle.status().lastIndex === 52)
  expect([one.acknowledged, log(node), node.fsm.keys]).toEqual([0, { base: 1, last: 1 }, [1]])
  go()
  await until('all is applied', () => node.handle.status().applied === 52)
  expect([node.fsm.keys, log(node)]).toEqual([[1, 5, 6], { base: 50, last: 52 }])
})
