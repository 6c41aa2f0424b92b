import { describe, expect, it } from 'vitest'
import { checkInvariants, InvariantViolation } from './invariants.ts'
import type { GroupStatus, PeerStatus } from './status.ts'
import { TestCluster } from './testing/test-cluster.ts'

function status(changes: Partial<GroupStatus> = {}): GroupStatus {
  const cluster = new TestCluster([1, 2, 3])
  cluster.elect(1)
  return { ...cluster.at(1).group.status(), ...changes }
}

describe('checkInvariants', () => {
  it('holds for a status and itself', () => {
    expect(() => checkInvariants(status(), status())).not.toThrow()
  })

  it.each<[string, Partial<GroupStatus>]>([
    ['the term went back', { term: 1 }],
    ['the vote of the term changed from 1 to 2', { vote: 2 }],
    ['the term has two leaders, 1 and 2', { leader: 2, role: 'follower' }],
    ['commit went back from 2 to 1', { commit: 1, applied: 1, applying: 1 }],
    ['applied went back from 2 to 1', { applied: 1 }],
    ['the base went back from 1 to 0', { baseIndex: 0 }],
    ['the configuration went back', { configurationIndex: 0 }],
    ['applied 2 is above applying 1', { applying: 1 }],
    ['applying 9 is above commit 2', { applying: 9 }],
    ['commit 9 is above the last index 2', { commit: 9 }],
    ['durable 9 is above the last index 2', { durableIndex: 9 }],
    ['base 3 is above commit 2', { baseIndex: 3 }],
    ['the log has an entry of term 3, ahead of the replica', { lastTerm: 3 }],
    ['a leader does not know that it leads', { leader: 0 }],
    ['a candidate has not voted for itself', { role: 'candidate', term: 3, vote: 2, leader: 0 }],
    ['a leader removed entries from its own log', { lastIndex: 1 }],
    ['a replica with an uncertain log leads', { uncertainUntil: { index: 9, term: 2 } }],
  ])('finds: %s', (property, changes) => {
    const act = (): void => checkInvariants(status(), status(changes))
    expect(act).toThrow(InvariantViolation)
    expect(act).toThrow(property)
  })

  it.each<[string, Partial<PeerStatus>]>([
    ['peer 3 is probe, with a window', { state: 'probe', inflightMessages: 1 }],
    ['peer 3 is snapshot, with a window', { state: 'snapshot', inflightMessages: 1 }],
    ['peer 3: match 3 is not below next 3', { match: 3 }],
    ['peer 3: next 4 is beyond the end of the log', { next: 4 }],
  ])('finds, of what a leader knows of a peer: %s', (property, changes) => {
    const peers = status().peers.map(peer => (peer.id === 3 ? { ...peer, ...changes } : peer))
    expect(() => checkInvariants(status(), status({ peers }))).toThrow(property)
  })
})
