import { MemoryLogStore } from '@millrace/log-store/memory'
import { afterEach, expect, test } from 'vitest'
import { applyCommand } from './apply-command.ts'
import { birthGroup } from './group-founding.ts'
import type { GroupHandle } from './group-handle.ts'
import { createMemoryNetwork, type MemoryNetwork } from './memory-network.ts'
import type { RaftNode } from './node.ts'
import { createNode } from './raft-host.ts'
import { replayedMachine } from './replayed-machine.ts'
import { FAST } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

const FOUNDING = { clusterId: 'c', group: 4, nodes: [3, 1, 2] }
const cleanup: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const run of cleanup.splice(0)) await run()
})

interface Member {
  readonly node: RaftNode
  readonly group: GroupHandle
  readonly applied: string[]
}

async function member(network: MemoryNetwork, nodeId: number): Promise<Member> {
  const logStore = new MemoryLogStore()
  await birthGroup(logStore, { ...FOUNDING, nodeId })
  const node = await createNode({ nodeId, logStore, transport: network.transport(nodeId), timing: FAST })
  cleanup.push(() => node.shutdown())
  const applied: string[] = []
  const machine = replayedMachine(command => applied.push(new TextDecoder().decode(command)))
  return { node, group: await node.open(FOUNDING.group, machine), applied }
}

async function three(network: MemoryNetwork): Promise<{ leader: Member; followers: Member[] }> {
  const members = [await member(network, 1), await member(network, 2), await member(network, 3)]
  await until('a leader that all know', () =>
    members.every(({ group }) => group.leaderNode !== 0 && members.some(other => other.group.leading)),
  )
  return {
    leader: members.find(({ group }) => group.leading)!,
    followers: members.filter(({ group }) => !group.leading),
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('founding nodes that list each other in any order run one group; a command returns what the machine made of it', async () => {
  const { leader, followers } = await three(createMemoryNetwork())
  expect(await applyCommand(leader.group, bytes('a'))).toBe(1)
  expect(await applyCommand(leader.group, bytes('b'))).toBe(2)
  for (const { applied } of followers) await until('it is everywhere', () => applied.join() === 'a,b')
})

test('a follower refuses a command and names the leader; nothing was stored', async () => {
  const { leader, followers } = await three(createMemoryNetwork())
  const refused = applyCommand(followers[0]!.group, bytes('a'))
  await expect(refused).rejects.toMatchObject({
    code: 'NOT_LEADER',
    outcome: 'not_stored',
    details: { leaderNode: leader.node.nodeId },
  })
})

test('a leader without a majority cannot tell: the time is over, or its office', async () => {
  const network = createMemoryNetwork()
  const { leader } = await three(network)
  network.isolate(leader.node.nodeId)
  const short = applyCommand(leader.group, bytes('a'), { timeoutMs: 1 })
  const long = applyCommand(leader.group, bytes('b'))
  await expect(short).rejects.toMatchObject({ code: 'APPEND_TIMEOUT', outcome: 'unknown' })
  await expect(long).rejects.toMatchObject({ code: 'LEADERSHIP_LOST', outcome: 'unknown' })
})

test('a replica is born once, and only on a founding node', async () => {
  const store = new MemoryLogStore()
  await birthGroup(store, { ...FOUNDING, nodeId: 2 })
  await expect(birthGroup(store, { ...FOUNDING, nodeId: 2 })).rejects.toMatchObject({ code: 'EXISTS' })
  await expect(birthGroup(store, { ...FOUNDING, group: 5, nodeId: 9 })).rejects.toThrow('not one of the founding nodes')
})
