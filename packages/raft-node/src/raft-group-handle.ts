/** The face of one replica towards the layers above. */
import type { GroupLog } from '@millrace/log-store'
import type { FrameBody } from '@millrace/record'
import { MillraceError } from '@millrace/record'
import type {
  GroupHandle,
  GroupObserver,
  GroupStatus,
  MemberChange,
  ProposalWaiter,
  ProposeResult,
} from './group-handle.ts'
import type { GroupReplica } from './group-replica.ts'

export class RaftGroupHandle implements GroupHandle {
  readonly replica: GroupReplica

  constructor(replica: GroupReplica) {
    this.replica = replica
  }

  get group(): number {
    return this.replica.group
  }

  get log(): GroupLog {
    return this.replica.log
  }

  get leading(): boolean {
    return this.replica.leadership.leading
  }

  get leaderNode(): number {
    return this.replica.leaderNode
  }

  get term(): number {
    return this.replica.leadership.term
  }

  status(): GroupStatus {
    const { replica } = this
    const core = replica.status()
    const { halted } = replica
    return {
      group: replica.group,
      replica: replica.replica,
      role: halted === undefined ? core.role : 'follower',
      term: core.term,
      leaderNode: replica.leaderNode,
      commit: core.commit,
      applied: replica.applier.applied,
      lastIndex: core.lastIndex,
      configuration: replica.configuration,
      configurationIndex: replica.configurationIndex,
      ...(halted === undefined ? {} : { halted }),
      followers: core.peers
        .filter(peer => peer.id !== replica.replica)
        .map(({ id, match, state, recentActive, learner }) => ({
          node: replica.places.nodeOf(id),
          replica: id,
          learner,
          match,
          state,
          recentlyActive: recentActive,
        })),
    }
  }

  propose(body: FrameBody, waiter: ProposalWaiter): ProposeResult {
    return this.replica.propose(body, waiter)
  }

  proposeChange(change: MemberChange, waiter: ProposalWaiter): ProposeResult {
    return this.replica.proposeChange(change, waiter)
  }

  readIndex(): Promise<number> {
    return this.replica.readIndex()
  }

  waitApplied(index: number): Promise<void> {
    const { halted, reads, applier } = this.replica
    if (halted !== undefined) {
      return Promise.reject(new MillraceError('PARTITION_HALTED', `group ${this.group} takes no part: ${halted}`))
    }
    return reads.waitApplied(index, applier.applied)
  }

  transferLeadership(toNode: number): void {
    const { voters } = this.replica.configuration
    const target = this.replica.places.replicasOn(toNode).find(replica => voters.includes(replica))
    if (target === undefined)
      throw new MillraceError('INVALID_ARGUMENT', `group ${this.group} has no voter on node ${toNode}`)
    const result = this.replica.transferTo(target)
    if (result.type === 'dropped') throw new MillraceError('NOT_LEADER', result.message)
  }

  observe(observer: GroupObserver): () => void {
    return this.replica.observe(observer)
  }
}
