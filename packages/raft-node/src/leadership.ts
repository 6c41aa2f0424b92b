/**
 * Role, term and leader of one replica as the layers above see them, and what they proposed.
 *
 * Invariant: proposals are taken only between `started` and `stopped`, that is while this replica leads the very term
 * whose first entry it has applied; then the state machine has seen everything before it.
 */
import type { LogIndex, ReplicaId, Role, SoftState, Term } from '@millrace/raft-core'
import { NONE } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import type { ProposalWaiter } from './group-handle.ts'
import { ProposalWaiters } from './proposal-waiters.ts'
import type { LeadershipEvent } from './state-machine.ts'

export class Leadership {
  role: Role = 'follower'
  leader: ReplicaId = NONE
  term: Term
  readonly #tell: (event: LeadershipEvent) => void
  readonly #waiters = new ProposalWaiters()
  /** The term in which proposals are taken; 0: none. */
  #startedTerm: Term = 0
  /** Offset of the next record that is accepted. */
  #nextOffset = 0
  /** Proposals up to this term are given up at that time. */
  #expiry: { readonly term: Term; readonly atMs: number } | undefined

  constructor(term: Term, tell: (event: LeadershipEvent) => void) {
    this.term = term
    this.#tell = tell
  }

  get leading(): boolean {
    return this.#startedTerm !== 0
  }

  get pendingProposals(): number {
    return this.#waiters.size
  }

  /**
   * Takes over what the core says now.
   *
   * @returns whether an observer would see a difference
   */
  update(soft: SoftState | undefined, term: Term, expireAtMs: number): boolean {
    const changed = soft !== undefined && (soft.leader !== this.leader || soft.role !== this.role)
    if (soft !== undefined) {
      this.role = soft.role
      this.leader = soft.leader
    }
    this.term = term
    if (this.#startedTerm === 0 || (this.role === 'leader' && term === this.#startedTerm)) return changed
    this.#expiry = { term: this.#startedTerm, atMs: expireAtMs }
    this.#startedTerm = 0
    this.#tell({ type: 'stopped' })
    return true
  }

  /**
   * An entry of `term` has been applied; `nextOffset` is the end of the log.
   *
   * @returns whether proposals are taken from now on that were not before
   */
  appliedTerm(term: Term, nextOffset: number): boolean {
    if (this.role !== 'leader' || term !== this.term || this.leading) return false
    this.#startedTerm = term
    this.#nextOffset = nextOffset
    this.#tell({ type: 'started', term, nextOffset })
    return true
  }

  /** The core has accepted a proposal. @returns the offset of its first record */
  accepted(index: LogIndex, term: Term, recordCount: number, waiter: ProposalWaiter): number {
    const baseOffset = this.#nextOffset
    this.#nextOffset += recordCount
    this.#waiters.add(index, term, waiter)
    return baseOffset
  }

  applied(frame: Frame, result: unknown): void {
    this.#waiters.applied(frame, result)
  }

  expire(nowMs: number): void {
    if (this.#expiry === undefined || nowMs < this.#expiry.atMs) return
    const { term } = this.#expiry
    this.#expiry = undefined
    this.#waiters.expire(
      term,
      `leadership of term ${term} was lost, and nothing committed since tells what became of it`,
    )
  }

  /** A snapshot has replaced the log: what was proposed before may be in it, or not. */
  overtaken(): void {
    this.#waiters.expire(
      Number.POSITIVE_INFINITY,
      'a snapshot of another replica came before the entry was applied here',
    )
  }

  /** The group takes no further part. `machineToo`: the state machine is still to be told. */
  close(reason: string, machineToo: boolean): void {
    const wasLeading = this.leading
    this.#startedTerm = 0
    this.role = 'follower'
    this.leader = NONE
    if (wasLeading && machineToo) this.#tell({ type: 'stopped' })
    this.#waiters.expire(Number.POSITIVE_INFINITY, reason)
  }
}
