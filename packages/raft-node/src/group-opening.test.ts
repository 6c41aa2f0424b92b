import type { BaseRecord } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { type Message, RaftGroup } from '@millrace/raft-core'
import { type Frame, type FrameBody, FrameKind, sealFrame } from '@millrace/record'
import { afterEach, expect, test } from 'vitest'
import { birthRecord } from './birth-record.ts'
import { encodeGroupConfiguration } from './configuration-codec.ts'
import { type EntryPayload, entriesOfFrames, plainBody } from './entry-frame.ts'
import { joinGroup } from './group-founding.ts'
import type { GroupConfiguration } from './group-handle.ts'
import { openGroup, trimmedTo } from './group-opening.ts'
import type { RaftGroupHandle } from './raft-group-handle.ts'
import type { AppliedPosition } from './state-machine.ts'
import { configurationOf, TestCluster } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

const GROUP = 7
const TERM = 2
/** In force at the base, from index 3 and from index 5 on. */
const AT_BASE = configurationOf([1, 2, 3])
const FROM_3 = configurationOf([1, 2])
const FROM_5: GroupConfiguration = { ...configurationOf([1]), learners: [14] }

function configurationBody(configuration: GroupConfiguration): FrameBody {
  return plainBody(FrameKind.configuration, encodeGroupConfiguration(configuration))
}

/** A log of the entries 2 to 6 with changes at 3 and 5; what is committed of it: all unless `commit` says otherwise. */
async function logWithChanges(commit = 6): Promise<{ frames: Frame[]; store: MemoryLogStore }> {
  const store = new MemoryLogStore()
  const base = birthRecord({ clusterId: 't', group: GROUP, createIndex: 1, createTimestamp: 1, configuration: AT_BASE })
  const log = await store.create(GROUP, { replicaId: 11, base })
  const empty = plainBody(FrameKind.noop, new Uint8Array(0))
  const bodies = [empty, configurationBody(FROM_3), empty, configurationBody(FROM_5), empty]
  const frames: Frame[] = []
  for (const [i, body] of bodies.entries()) {
    const previousChain = frames.at(-1)?.header.chain ?? base.chain
    const at = { group: GROUP, index: 2 + i, term: TERM, baseOffset: 0, timestamp: 1, previousChain }
    frames.push(sealFrame(body, at))
  }
  await new Promise<void>(done => log.write({ frames, ballot: { term: TERM, vote: 11 }, commit }, done))
  return { frames, store: store.reopen() }
}

/** Carries out what the core says, as a disk and a state machine without delay; @returns what it sends. */
function settle(core: RaftGroup<EntryPayload>): Message<EntryPayload>[] {
  const sent: Message<EntryPayload>[] = []
  while (core.hasOutput()) {
    const { messages, append, apply } = core.takeOutput()
    for (const message of [...messages, ...(append?.responses ?? []), ...(apply?.responses ?? [])]) {
      if (message.to === 11) core.step({ type: 'message', message })
      else sent.push(message)
    }
  }
  return sent
}

/** The snapshot that a learner without a log is sent. */
function snapshotFor(core: RaftGroup<EntryPayload>): unknown {
  core.step({ type: 'campaign' })
  settle(core)
  const { term } = core.status()
  const refusal = { type: 'appendResponse', from: 14, to: 11, term, rejected: true, hintIndex: 0, hintTerm: 0 } as const
  const probed = core.status().peers.find(peer => peer.id === 14)!.next - 1
  core.step({ type: 'message', message: { ...refusal, index: probed } })
  const message = settle(core).find(({ type }) => type === 'snapshot')
  return message?.type === 'snapshot' ? message.snapshot : undefined
}

async function openedAhead(): Promise<{ frames: Frame[]; core: RaftGroup<EntryPayload> }> {
  const { frames, store } = await logWithChanges()
  const { initial } = await openGroup(store.groups()[0]!, { index: 6, term: TERM })
  return { frames, core: new RaftGroup({ id: 11 }, initial, () => 0) }
}

test('a state ahead of the base: a snapshot at the base still says the configuration there', async () => {
  const { core } = await openedAhead()
  expect(core.status().configuration).toMatchObject({ voters: [11], learners: [14] })
  expect(snapshotFor(core)).toMatchObject({ index: 1, configuration: AT_BASE, configurationIndex: 1 })
})

const NOTHING_APPLIED = { index: 0, term: 0 }

test('a change that is not known to be committed is not in force, and once it is nobody campaigns before it is applied', async () => {
  const { store } = await logWithChanges(4)
  const { initial, configuration, configurationIndex, unapplied } = await openGroup(store.groups()[0]!, {
    index: 4,
    term: TERM,
  })
  expect([configuration, configurationIndex, unapplied]).toEqual([FROM_3, 3, [FROM_5]])
  const core = new RaftGroup({ id: 11, preVote: false }, initial, () => 0)
  // Another one leads, and says that all of it is committed.
  const heartbeat = { type: 'heartbeat', from: 12, to: 11, term: TERM + 1, commit: 6, context: 0 } as const
  core.step({ type: 'message', message: heartbeat })
  core.step({ type: 'campaign' })
  expect(core.status()).toMatchObject({ role: 'follower', commit: 6 })
  settle(core)
  core.step({ type: 'campaign' })
  settle(core)
  expect(core.status()).toMatchObject({ role: 'leader', configuration: { voters: [11] } })
})

test('a state proves what was committed only where the log holds its last entry', async () => {
  const open = async (machine: AppliedPosition): Promise<unknown> => {
    const { initial } = await openGroup((await logWithChanges(3)).store.groups()[0]!, machine)
    return [initial.hardState.commit, initial.applied]
  }
  expect(await open(NOTHING_APPLIED)).toEqual([3, 1])
  expect(await open({ index: 5, term: TERM })).toEqual([5, 5])
  // Of an entry that took the place of one here, or that came after all of these.
  expect(await open({ index: 5, term: TERM + 1 })).toEqual([3, 3])
  expect(await open({ index: 9, term: TERM })).toEqual([3, 3])
})

test('a state that contradicts its log, or that its log does not go on from, is not run', async () => {
  const { store, frames } = await logWithChanges()
  await expect(openGroup(store.groups()[0]!, { index: 5, term: TERM + 1 })).rejects.toThrow(
    'applied index 5 of term 3, the log holds term 2',
  )
  const { term, chain, timestamp } = frames[3]!.header
  const log = store.groups()[0]!
  await log.trimPrefix({ ...log.base, index: 5, term, chain, timestamp })
  const trimmed = store.reopen().groups()[0]!
  await expect(openGroup(trimmed, { index: 4, term: TERM })).rejects.toThrow('state ends at index 4')
  expect((await openGroup(trimmed, { index: 5, term: TERM })).initial.applied).toBe(5)
})

test('a log with a hole is opened: what is in it is not known, what comes after is', async () => {
  const { frames, store } = await logWithChanges()
  store.damage(GROUP, 4, 5)
  const { initial, tail, configurationIndex } = await openGroup(store.reopen().groups()[0]!, { index: 0, term: 0 })
  expect(initial).toMatchObject({ hardState: { commit: 6 }, lastIndex: 6, applied: 1 })
  // The change at 5 is in force, and nobody can say what it is.
  expect(configurationIndex).toBe(3)
  expect(initial.holes).toEqual([{ first: 4, last: 5, oneTerm: true, mayHoldConfiguration: true }])
  const core = new RaftGroup({ id: 11 }, initial, () => 0)
  core.step({ type: 'campaign' })
  expect(core.status().role).toBe('follower')
  const configurations = entriesOfFrames([frames[3]!])
  core.step({ type: 'holeFilled', first: 4, last: 5, terms: [{ first: 4, term: TERM }], configurations })
  expect(core.status().holes).toEqual([])
  expect(tail.lastIndex).toBe(6)
})

test('a hole above the commit index: frames join what comes after it, and what is before it', async () => {
  const { frames, store } = await logWithChanges()
  const log = store.groups()[0]!
  const more: Frame[] = []
  for (let index = 7; index <= 10; index++) {
    const previousChain = (more.at(-1) ?? frames.at(-1)!).header.chain
    const at = { group: GROUP, index, term: TERM, baseOffset: 0, timestamp: 1, previousChain }
    more.push(sealFrame(plainBody(FrameKind.noop, new Uint8Array(0)), at))
  }
  await new Promise<void>(done => log.write({ frames: more, commit: 6 }, done))
  const again = store.reopen()
  again.damage(GROUP, 8, 9)
  const { initial, tail } = await openGroup(again.groups()[0]!, { index: 6, term: TERM })
  expect(initial.entries?.map(({ index }) => index)).toEqual([10])
  const check = (previousIndex: number, sent: readonly Frame[]): string | undefined =>
    tail.check(previousIndex, TERM, entriesOfFrames(sent))
  const foreign = (index: number): Frame =>
    sealFrame(plainBody(FrameKind.noop, new Uint8Array(0)), {
      ...{ group: GROUP, index, term: TERM, baseOffset: 0, timestamp: 1, previousChain: 99 },
    })
  expect(check(7, more.slice(1, 2))).toBe(undefined)
  expect(check(7, [foreign(8)])).toContain('does not join')
  expect(check(9, more.slice(3))).toBe(undefined)
  expect(check(9, [foreign(10)])).toContain('does not join')
  // Inside nobody knows the chain.
  expect(check(8, [foreign(9)])).toBe(undefined)
  tail.fill(more.slice(1, 3))
  expect(check(8, [foreign(9)])).toContain('does not join')
})

test('a log trimmed between changes that are never applied again: its base record says what is in force', async () => {
  const { frames, core } = await openedAhead()
  const { header } = frames[2]!
  const base: BaseRecord = {
    ...{ index: 4, term: TERM, chain: header.chain, timestamp: 1, nextOffset: 0, voidBelow: 0 },
    ...{ configuration: encodeGroupConfiguration(FROM_3), configurationIndex: 3 },
  }
  core.step(trimmedTo(base))
  expect(snapshotFor(core)).toMatchObject({ index: 4, configuration: FROM_3, configurationIndex: 3 })
})

const clusters: TestCluster[] = []
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop()
})

test('the core hears that its log was trimmed: a follower before the base is not sent entries any more', async () => {
  const c = await TestCluster.start()
  clusters.push(c)
  await c.append('a')
  const leader = await c.leader()
  const cut = c.nodeIds.find(node => node !== leader)!
  c.network.isolate(cut)
  for (const text of ['b', 'c', 'd']) await c.append(text)
  const { log } = c.handle(leader)
  await until('the log is durable', () => log.durable.index === log.end.index)
  const { header } = (await log.read(log.end.index - 1, log.end.index, 1))[0]!
  const { index, term, chain, timestamp, baseOffset, recordCount } = header
  await log.trimPrefix({ ...log.base, index, term, chain, timestamp, nextOffset: baseOffset + recordCount })
  const { replica } = c.handle(leader) as RaftGroupHandle
  await until('the core knows', () => replica.status().baseIndex === index)
  c.network.heal()
  const said = (): boolean =>
    c.up.get(leader)!.events.some(event => event.message.includes('has no snapshot that its log goes on from'))
  await until('the leader says that it has none to send', said)
  expect(c.machine(cut).entries).toHaveLength(1)
})

test('a state that ends before the log begins is missing where another one can be taken, and refused where not', async () => {
  const { store } = await logWithChanges()
  const [log] = store.groups()
  const { chain, timestamp } = (await log!.read(4, 5, 1))[0]!.header
  const at = { index: 4, term: TERM, chain, timestamp, nextOffset: 0, voidBelow: 0 }
  await log!.trimPrefix({ ...at, configuration: encodeGroupConfiguration(FROM_3), configurationIndex: 3 })
  const [trimmed] = store.reopen().groups()
  for (const index of [0, 3]) {
    const { initial, isStateMissing } = await openGroup(trimmed!, { index, term: index && TERM }, true)
    expect([isStateMissing, initial.stateMissing, initial.applied]).toEqual([true, true, 4])
  }
  expect((await openGroup(trimmed!, { index: 4, term: TERM }, true)).initial.stateMissing).toBe(false)
  await expect(openGroup(trimmed!, { index: 3, term: TERM })).rejects.toThrow(
    'a checkpoint from another replica is needed',
  )
})

test('no state is missing where the log goes back to the birth of its group, nor before there is a log', async () => {
  const { store } = await logWithChanges()
  const nothing = { index: 0, term: 0 }
  expect((await openGroup(store.groups()[0]!, nothing, true)).isStateMissing).toBe(false)
  const joining = await joinGroup(new MemoryLogStore(), { group: GROUP, replica: 14 })
  expect((await openGroup(joining, nothing, true)).isStateMissing).toBe(false)
})
