/** The face of one replica towards the layers above. */
import type { GroupLog, SnapshotInfo } from '@millrace/log-store'
import type { FrameBody } from '@millrace/record'
import { MillraceError } from '@millrace/record'
import type { GivenUp } from './damage-surrender.ts'
import type {
  ConfirmedLeader,
  GroupHandle,
  GroupObserver,
  GroupStatus,
  MemberChange,
  ProposalWaiter,
  ProposeResult,
} from './group-handle.ts'
import type { GroupReplica } from './group-replica.ts'
import { haltedError, lostLeadership } from './proposal-refusals.ts'

const NOTHING_APPLIED = -1

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
    const { sends, receiving = replica.state.fetch.progress } = replica.snapshots.progress
    const { halted } = replica
    const damage = replica.repair.status
    const state = replica.state.fetch.status
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
      ...(damage && { damage }),
      ...(state && { state }),
      followers: core.peers
        .filter(peer => peer.id !== replica.replica)
        .map(({ id, match, state, recentActive, learner }) => ({
          node: replica.places.nodeOf(id),
          replica: id,
          learner,
          match,
          state,
          recentlyActive: recentActive,
          ...(sends.has(id) && { snapshot: sends.get(id)! }),
        })),
      ...(receiving && { receiving }),
    }
  }

  propose(body: FrameBody, waiter: ProposalWaiter): ProposeResult {
    return this.replica.proposals.propose(body, waiter)
  }

  proposeChange(change: MemberChange, waiter: ProposalWaiter): ProposeResult {
    return this.replica.proposals.proposeChange(change, waiter)
  }

  readIndex(): Promise<number> {
    return this.replica.readIndex()
  }

  async verifyLeader(): Promise<ConfirmedLeader> {
    await this.replica.readIndex()
    const { leaderNode: node, term } = this
    if (node === 0) throw lostLeadership(this, 'its leader was lost while it was being confirmed')
    return { node, term }
  }

  async leaseRead<T>(read: () => T): Promise<T> {
    const { term } = this
    this.#checkLease(term)
    await this.waitApplied(this.replica.status().commit)
    this.#checkLease(term)
    const value = read()
    // The process may have stood still in between.
    this.#checkLease(term)
    return value
  }

  /** @throws MillraceError where this replica does not lead under a lease, in that term */
  #checkLease(term: number): void {
    const { replica, group } = this
    if (replica.halted !== undefined) {
      throw haltedError(group, replica.halted)
    }
    if (replica.configuration.leaseReads !== true) {
      throw new MillraceError('UNSUPPORTED', `group ${group} was born without lease reads: use a read index`)
    }
    if (replica.leadership.role !== 'leader') throw lostLeadership(this, 'only the leader reads under a lease')
    if (this.leading && term === this.term && replica.holdsLease()) return
    throw new MillraceError('NO_LEADER', `the leader of group ${group} has no lease at the moment: use a read index`)
  }

  waitApplied(index: number): Promise<void> {
    const { halted, reads, applier } = this.replica
    if (halted !== undefined) {
      return Promise.reject(haltedError(this.group, halted))
    }
    // A state that is missing holds nothing, whatever is below the log's base.
    return reads.waitApplied(index, applier.missing ? NOTHING_APPLIED : applier.applied)
  }

  transferLeadership(toNode: number): void {
    const { voters } = this.replica.configuration
    const target = this.replica.places.replicasOn(toNode).find(replica => voters.includes(replica))
    if (target === undefined)
      throw new MillraceError('INVALID_ARGUMENT', `group ${this.group} has no voter on node ${toNode}`)
    const result = this.replica.proposals.transferTo(target)
    if (result.type === 'dropped') throw new MillraceError('NOT_LEADER', result.message)
  }

  takeSnapshot(): Promise<SnapshotInfo> {
    return this.replica.snapshots.take()
  }

  trimLog(index: number): Promise<number> {
    return this.replica.snapshots.trim(index)
  }

  giveUpDamage(without: readonly number[], accept: boolean): Promise<GivenUp> {
    const { surrender } = this.replica.state
    return accept ? surrender.giveUp(without) : surrender.examine(without)
  }

  observe(observer: GroupObserver): () => void {
    return this.replica.observe(observer)
  }
}
