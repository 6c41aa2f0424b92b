import { describe, expect, it } from 'vitest'
import type { ConfigEntry, Configuration } from './configuration.ts'
import {
  describeConfigChange,
  describeConfiguration,
  describeEntries,
  describeInput,
  describeMessage,
  describeOutput,
  describePeer,
  describeStatus,
  describeStepResult,
  describeTrace,
} from './describe.ts'
import type { Entry } from './entry.ts'
import type { FetchRequest, Input } from './input.ts'
import { EMPTY_CONFIGURATION } from './membership/changer.ts'
import type { Message, SnapshotMeta } from './message.ts'
import type { AppendTask, Output } from './output.ts'
import type { PeerStatus } from './status.ts'
import { TestCluster } from './testing/test-cluster.ts'
import type { TraceEvent } from './trace.ts'

const CONFIGURATION: Configuration = { ...EMPTY_CONFIGURATION, voters: [1, 2] }
const CHANGE: ConfigEntry['change'] = {
  steps: [
    { kind: 'addVoter', id: 4 },
    { kind: 'remove', id: 3 },
  ],
  transition: 'explicit',
}
const ENTRY: Entry = { index: 9, term: 5, kind: 'normal', size: 7, payload: 'x' }
const CHANGING: Entry = {
  index: 10,
  term: 5,
  kind: 'config',
  size: 0,
  payload: null,
  config: { change: CHANGE, result: CONFIGURATION },
}
const SNAPSHOT: SnapshotMeta = { index: 8, term: 4, configuration: CONFIGURATION, payload: null }
const SEND: FetchRequest = {
  id: 3,
  purpose: 'send',
  peer: 2,
  from: 4,
  to: 9,
  bytesMax: 100,
  termAtRequest: 5,
}
const NOTHING: Output = { messages: [], fetch: [], reads: [] }

/** The rest of a message from 1 to 2 in term 5. */
type Body<M> = M extends Message ? Omit<M, 'from' | 'to' | 'term'> : never

describe('describe functions', () => {
  it('name every part of a configuration that is there', () => {
    expect(
      describeConfiguration({
        voters: [1, 4],
        votersOutgoing: [1, 2],
        learners: [3],
        learnersNext: [2],
        autoLeave: true,
      }),
    ).toBe('voters(1,4)&(1,2) learners(3) learnersNext(2) autoLeave')
    expect(describeConfiguration(CONFIGURATION)).toBe('voters(1,2)')
  })

  it('say the steps of a change, how it is made, and what it expects', () => {
    expect(describeConfigChange(CHANGE)).toBe('addVoter 4, remove 3 (explicit)')
    expect(describeConfigChange({ steps: [], transition: 'auto', expectedIndex: 6 })).toBe(
      'leaveJoint (auto) expecting 6',
    )
  })

  it('show a run of entries as its ends', () => {
    expect(describeEntries([])).toBe('none')
    expect(describeEntries([ENTRY])).toBe('5/9 normal 7B')
    expect(describeEntries([{ ...ENTRY, index: 8 }, ENTRY, CHANGING])).toBe(
      '5/8 normal 7B … 5/10 config 0B addVoter 4, remove 3 (explicit) (3)',
    )
  })

  it.each<[string, Body<Message>]>([
    ['preVote term 5 last 4/9', { type: 'preVote', lastIndex: 9, lastTerm: 4, transfer: false }],
    ['vote term 5 last 4/9 transfer', { type: 'vote', lastIndex: 9, lastTerm: 4, transfer: true }],
    ['preVoteResponse term 5 granted', { type: 'preVoteResponse', granted: true }],
    ['voteResponse term 5 refused', { type: 'voteResponse', granted: false }],
    [
      'append term 5 prev 4/8 commit 7 entries 5/9 normal 7B',
      { type: 'append', prevIndex: 8, prevTerm: 4, commit: 7, entries: [ENTRY] },
    ],
    [
      'appendResponse term 5 refused 9 hint 2/3 lost its tail',
      { type: 'appendResponse', index: 9, rejected: true, hintIndex: 3, hintTerm: 2, lostTail: true },
    ],
    [
      'appendResponse term 5 refused 9 hint 2/3',
      { type: 'appendResponse', index: 9, rejected: true, hintIndex: 3, hintTerm: 2 },
    ],
    [
      'appendResponse term 5 matches to 9',
      { type: 'appendResponse', index: 9, rejected: false, hintIndex: 0, hintTerm: 0 },
    ],
    ['heartbeat term 5 commit 7 context 3', { type: 'heartbeat', commit: 7, context: 3 }],
    ['heartbeatResponse term 5 context 3', { type: 'heartbeatResponse', context: 3 }],
    ['heartbeatResponse term 5 context 3 lost its tail', { type: 'heartbeatResponse', context: 3, lostTail: true }],
    ['snapshot term 5 snapshot 4/8 voters(1,2)', { type: 'snapshot', snapshot: SNAPSHOT }],
    ['timeoutNow term 5', { type: 'timeoutNow' }],
    ['readIndex term 5 context 3', { type: 'readIndex', context: 3 }],
    ['readIndexResponse term 5 context 3 index 7', { type: 'readIndexResponse', context: 3, index: 7 }],
    ['transferLeader term 5 to 3', { type: 'transferLeader', target: 3 }],
    ['propose term 5 2 entries', { type: 'propose', entries: [ENTRY, CHANGING] }],
    ['storageAppended term 5 durable 4/8', { type: 'storageAppended', index: 8, logTerm: 4 }],
    [
      'storageAppended term 5 durable 0/0 snapshot 4/8 voters(1,2)',
      { type: 'storageAppended', index: 0, logTerm: 0, snapshot: SNAPSHOT },
    ],
    ['storageApplied term 5 5/9 normal 7B', { type: 'storageApplied', entries: [ENTRY] }],
  ])('tell messages apart: %s', (text, body) => {
    expect(describeMessage({ ...body, from: 1, to: 2, term: 5 })).toBe(`1→2 ${text}`)
  })

  it.each<[string, Input]>([
    ['1→2 timeoutNow term 5', { type: 'message', message: { type: 'timeoutNow', from: 1, to: 2, term: 5 } }],
    ['propose 1 entries', { type: 'propose', entries: [ENTRY] }],
    ['propose addVoter 4, remove 3 (explicit)', { type: 'proposeConfigChange', change: CHANGE }],
    ['readIndex 3', { type: 'readIndex', context: 3 }],
    ['transferLeader to 2', { type: 'transferLeader', target: 2 }],
    ['unreachable 2', { type: 'unreachable', peer: 2 }],
    ['snapshot to 2 failed', { type: 'snapshotStatus', peer: 2, status: 'failed' }],
    [
      'fetch 3 [4, 9) for replica 2 ≤100B term 5: 5/9 normal 7B',
      { type: 'entriesFetched', request: SEND, entries: [ENTRY] },
    ],
    [
      'fetch 3 [4, 9) for apply ≤100B term 5: damaged',
      { type: 'fetchFailed', request: { ...SEND, purpose: 'apply', peer: 0 }, reason: 'damaged' },
    ],
    ['compacted to 4/8', { type: 'compacted', index: 8, term: 4 }],
    ['available: snapshot 4/8 voters(1,2)', { type: 'snapshotAvailable', snapshot: SNAPSHOT }],
    ['applied 5/10 config 0B addVoter 4, remove 3 (explicit)', { type: 'configApplied', entry: CHANGING }],
    ['tick', { type: 'tick' }],
    ['campaign', { type: 'campaign' }],
    ['forgetLeader', { type: 'forgetLeader' }],
  ])('tell inputs apart: %s', (text, input) => {
    expect(describeInput(input)).toBe(text)
  })

  it('say what a step answered', () => {
    expect(describeStepResult({ type: 'ok' })).toBe('ok')
    expect(describeStepResult({ type: 'accepted', index: 3, term: 2 })).toBe('accepted at 2/3')
    expect(describeStepResult({ type: 'dropped', reason: 'notLeader', leader: 1, message: 'replica 1 leads' })).toBe(
      'dropped (notLeader, leader 1): replica 1 leads',
    )
  })

  it('give every part of an output that is there a line', () => {
    expect(describeOutput(NOTHING)).toBe('nothing')
    const append: AppendTask = {
      mustSync: true,
      hardState: { term: 5, vote: 1, commit: 8 },
      snapshot: SNAPSHOT,
      entries: [ENTRY],
      responses: [{ type: 'timeoutNow', from: 1, to: 2, term: 5 }],
    }
    const output: Output = {
      soft: { role: 'leader', leader: 1 },
      messages: [{ type: 'heartbeat', from: 1, to: 2, term: 5, commit: 7, context: 3 }],
      append,
      apply: { entries: [ENTRY], responses: [] },
      fetch: [SEND],
      reads: [
        { context: 3, index: 7 },
        { context: 4, index: 0, aborted: true },
      ],
      snapshotWanted: true,
    }
    expect(describeOutput(output).split('\n')).toEqual([
      'leader leader 1',
      '1→2 heartbeat term 5 commit 7 context 3',
      'append sync term 5 vote 1 commit 8 snapshot 4/8 voters(1,2) entries 5/9 normal 7B then [1→2 timeoutNow term 5]',
      'apply 5/9 normal 7B',
      'fetch 3 [4, 9) for replica 2 ≤100B term 5',
      'read 3 at 7',
      'read 4 aborted',
      'snapshot wanted',
    ])
    expect(describeOutput({ ...NOTHING, append: { mustSync: false, entries: [], responses: [] } })).toBe(
      'append entries none',
    )
  })

  it('say of a peer what is out of the ordinary', () => {
    const peer: PeerStatus = {
      id: 2,
      match: 4,
      next: 5,
      state: 'replicate',
      paused: false,
      pendingSnapshot: 0,
      recentActive: true,
      inflightMessages: 0,
      inflightBytes: 0,
      inflightFull: false,
      learner: false,
    }
    expect(describePeer(peer)).toBe('2 replicate match 4 next 5')
    expect(describePeer({ ...peer, learner: true, inflightMessages: 3, inflightBytes: 12 })).toBe(
      '2 replicate match 4 next 5 learner in flight 3 (12B)',
    )
    expect(describePeer({ ...peer, state: 'snapshot', paused: true, pendingSnapshot: 8, recentActive: false })).toBe(
      '2 snapshot match 4 next 5 paused silent snapshot 8',
    )
  })

  it('describe whatever a cluster says, does and is', () => {
    const trace: TraceEvent[] = []
    const cluster = new TestCluster([1, 2, 3], { blank: [4], config: { trace: event => trace.push(event) } })
    const leader = cluster.elect(1)
    expect(describeStatus(cluster.at(2).group.status())).toBe(
      '2 follower term 2 vote 1 leader 1 log (1, 2] durable 2 commit 2 applied 2 voters(1,2,3)@1',
    )
    cluster.propose(1, 'a')
    leader.drain()
    const output = describeOutput(leader.lastOutput!)
    expect(output.split('\n')).toContain('1→2 append term 2 prev 2/2 commit 2 entries 2/3 normal 1B')
    expect(output).toMatch(/^append sync entries 2\/3 normal 1B then \[/m)
    expect(describeStatus(leader.group.status())).toMatch(
      /^1 leader term 2 vote 1 leader 1 log \(1, 3\] durable 2 commit 2 applied 2 voters\(1,2,3\)@1 peers\[1 replicate/,
    )
    leader.step({
      type: 'proposeConfigChange',
      change: { steps: [{ kind: 'addLearner', id: 4 }], transition: 'auto' },
    })
    cluster.settle()
    expect(trace.map(describeTrace)).toContain('1 becameLeader term 2')
    expect(trace.map(describeTrace)).toContain('1 configurationChanged index 4 voters(1,2,3) learners(4)')
  })

  it('say that the end of a log is uncertain', () => {
    const replica = new TestCluster([1, 2, 3]).at(1)
    replica.restart({ uncertainUntil: { index: 9, term: 4 } })
    expect(describeStatus(replica.group.status())).toBe(
      '1 follower term 1 vote 0 leader 0 log (1, 1] durable 1 commit 1 applied 1 voters(1,2,3)@1 uncertain until 4/9',
    )
  })
})
