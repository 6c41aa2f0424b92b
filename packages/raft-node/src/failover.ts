/**
 * When one replica campaigns ahead of its election timeout: on evidence that the process of its leader is gone, and at
 * start, when a quorum is connected and nobody has spoken as the leader.
 *
 * It only ever asks for pre-votes earlier than the timeout would. Who still hears from a leader refuses them, so wrong
 * evidence costs a few messages and changes nothing. Ranks keep the replicas of a group from asking at the same moment;
 * the first rank differs from group to group, so that the groups of a lost node do not all move to one.
 */
import type { ReplicaId, Term } from '@millrace/raft-core'
import type { GroupConfiguration } from './group-handle.ts'
import type { HostServices } from './host-services.ts'

/** What a round needs of its replica; all is read when it is needed. */
export interface FailoverSubject {
  readonly group: number
  readonly replica: ReplicaId
  readonly term: Term
  /** No leader is known, and this is none. */
  readonly leaderless: boolean
  /** While it is needed, whoever has a whole log is the better leader. */
  readonly repair: { readonly isNeeded: boolean }
  /** In this term it has given its vote, to itself or to another. */
  readonly voted: boolean
  readonly configuration: GroupConfiguration
  /** Node of the leader; 0: none known. */
  readonly leaderNode: number
  nodeOf(replica: ReplicaId): number
  /** Campaigns in the next turn, if the replica is leaderless then. `forget`: it first forgets the leader it knows. */
  campaign(forget: boolean): void
}

/** Refused pre-votes are asked for again after this time. */
const RETRY_MS = 50
const RETRY_JITTER_MS = 10
/** Whoever has this replica's vote gets this time to win before the vote counts as split; each try takes a term. */
const VOTE_MS = 200

export class Failover {
  readonly #services: HostServices
  readonly #subject: FailoverSubject
  #timer: { cancel(): void } | undefined
  /** Terms of the last rounds: one round of evidence and one at start per term. */
  #evidenceTerm: Term = -1
  #goneNode = 0
  /** The last term in which a vote was seen here, and when it was first seen. */
  #votedTerm: Term
  #votedMs = Number.NEGATIVE_INFINITY
  /** The last term with a leader: the vote for it is spent. */
  #ledTerm: Term = -1
  #quorumTerm: Term = -1

  constructor(services: HostServices, subject: FailoverSubject) {
    this.#services = services
    this.#subject = subject
    this.#votedTerm = subject.term
  }

  /** Whether evidence about the leader of the present term is news. */
  get takesEvidence(): boolean {
    return this.#evidenceTerm !== this.#subject.term
  }

  /** The process of the leader is gone; the replica forgets it in the next turn. */
  leaderGone(node: number): void {
    this.#evidenceTerm = this.#subject.term
    this.#goneNode = node
    this.#start(voter => this.#subject.nodeOf(voter) !== node)
  }

  /** Nodes have come, the group was opened, or its leader is lost: with a quorum there is no reason to wait. */
  connectivity(): void {
    const { term, leaderless } = this.#subject
    this.#noticeVote()
    if (!leaderless || this.#timer !== undefined || this.#quorumTerm === term || !this.#quorumConnected()) return
    this.#quorumTerm = term
    this.#start(() => true)
  }

  /** A leader is known. */
  leaderKnown(): void {
    this.#ledTerm = this.#subject.term
    if (!this.#followsGhost()) this.stop()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #quorumConnected(): boolean {
    const { voters, votersOutgoing } = this.#subject.configuration
    return this.#majorityUp(voters) && (votersOutgoing.length === 0 || this.#majorityUp(votersOutgoing))
  }

  #majorityUp(voters: readonly ReplicaId[]): boolean {
    const { replica } = this.#subject
    const up = voters.filter(id => id === replica || this.#services.isConnected(this.#subject.nodeOf(id)))
    return up.length * 2 > voters.length
  }

  #start(candidate: (voter: ReplicaId) => boolean): void {
    this.stop()
    const { group, replica, configuration } = this.#subject
    const ranked = configuration.voters.filter(candidate)
    const at = ranked.indexOf(replica)
    if (at < 0) return
    const { campaignRankDelayMs, electionTimeoutMinMs } = this.#services.timing
    const rank = this.#subject.repair.isNeeded ? ranked.length : (at + group) % ranked.length
    const jitterMs = ranked.length === 1 ? 0 : this.#services.randomInt(Math.ceil(campaignRankDelayMs / 2))
    const untilMs = this.#services.clock.monotonicMs() + electionTimeoutMinMs
    this.#attemptAfter(rank * campaignRankDelayMs + jitterMs, untilMs)
  }

  /** The candidate may be this replica itself: by a transfer, or by an attempt before. */
  #noticeVote(): void {
    const { term, voted } = this.#subject
    if (!voted || term === this.#votedTerm || term === this.#ledTerm) return
    this.#votedTerm = term
    this.#votedMs = this.#services.clock.monotonicMs()
  }

  /** What a dead leader had sent can be read after its death was seen, and looks like a sign of life. */
  #followsGhost(): boolean {
    const { leaderNode, term } = this.#subject
    return leaderNode !== 0 && leaderNode === this.#goneNode && term === this.#evidenceTerm
  }

  /** Asks until there is a leader, or the ordinary election timeout has taken over. */
  #attemptAfter(delayMs: number, untilMs: number): void {
    this.#timer = this.#services.clock.setTimer(delayMs, () => {
      this.#timer = undefined
      const nowMs = this.#services.clock.monotonicMs()
      const ghost = this.#followsGhost()
      if (nowMs > untilMs || (!this.#subject.leaderless && !ghost)) return
      this.#noticeVote()
      if (nowMs - this.#votedMs >= VOTE_MS) this.#subject.campaign(ghost)
      this.#attemptAfter(RETRY_MS + this.#services.randomInt(RETRY_JITTER_MS), untilMs)
    })
  }
}
