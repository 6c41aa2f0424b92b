import { describe, expect, it } from 'vitest'
import { checkInvariants, InvariantViolation } from './invariants.ts'
import type { GroupStatus } from './status.ts'
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
    ['applying 9 is above commit 2', { applying: 9 }],
    ['a leader removed entries from its own log', { lastIndex: 1 }],
    ['a replica with an uncertain log leads', { uncertainUntil: { index: 9, term: 2 } }],
  ])('finds: %s', (property, changes) => {
    const act = (): void => checkInvariants(status(), status(changes))
    expect(act).toThrow(InvariantViolation)
    expect(act).toThrow(property)
  })

  it('finds a window in a state that has none', () => {
    const { peers } = status()
    const broken = status({ peers: peers.map(peer => ({ ...peer, state: 'probe', inflightMessages: 1 })) })
    expect(() => checkInvariants(status(), broken)).toThrow(/with a window/)
  })
})
