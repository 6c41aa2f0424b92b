/**
 * Linearizable reads of a leader (Raft thesis, section 6.4). A read takes the commit index at its arrival and the context
 * of the next round of heartbeats; it is answered once a quorum has acknowledged that round or a later one: then nobody
 * else led when the read arrived. Contexts are made here, rise, and are used once, so a late acknowledgement of an old
 * round can never confirm a new read.
 */
import { type LogIndex, NONE, type ReplicaId } from '../entry.ts'
import { jointCommitted, type VoterSets } from '../quorum/joint.ts'

/** Who asked: a peer, or NONE for this replica's own host; and the asker's own context. */
export interface ReadRequest {
  readonly from: ReplicaId
  readonly context: number
}

interface ReadRound {
  readonly context: number
  readonly sentMs: number | undefined
  readonly reads: readonly { readonly request: ReadRequest; readonly index: LogIndex }[]
}

export interface ConfirmedRead {
  readonly request: ReadRequest
  readonly index: LogIndex
}

export class ReadQueue {
  readonly #max: number
  /** Never goes back while the process lives. */
  #lastContext = 0
  /** Reads that wait for the first commit of the term. */
  #early: ReadRequest[] = []
  /** Reads that leave with the next round of heartbeats. */
  #gathering: ConfirmedRead[] = []
  /** Rounds that were sent and not confirmed. */
  #rounds: ReadRound[] = []
  /** The newest round that each peer has acknowledged. */
  readonly #acknowledged: Map<ReplicaId, number> = new Map()
  /** Own reads that were passed on to the leader, and the ticks that they have waited. */
  readonly #forwarded: Map<number, number> = new Map()

  constructor(max: number) {
    this.#max = max
  }

  /** Reads that wait here in any way. */
  get waiting(): number {
    let inRounds = 0
    for (const round of this.#rounds) inRounds += round.reads.length
    return this.#early.length + this.#gathering.length + inRounds + this.#forwarded.size
  }

  get full(): boolean {
    return this.waiting >= this.#max
  }

  /** Reads wait for a round of heartbeats to be sent. */
  get roundDue(): boolean {
    return this.#gathering.length > 0
  }

  /** The newest round that waits for a quorum; 0: none. Repeated by the heartbeats of the clock, should one be lost. */
  get openContext(): number {
    return this.#rounds.at(-1)?.context ?? 0
  }

  waitForFirstCommit(request: ReadRequest): void {
    this.#early.push(request)
  }

  takeEarly(): readonly ReadRequest[] {
    const early = this.#early
    this.#early = []
    return early
  }

  gather(request: ReadRequest, index: LogIndex): void {
    this.#gathering.push({ request, index })
  }

  /**
   * Opens a round with everything gathered.
   *
   * @param sentMs when its heartbeats leave, on the monotonic clock, where leases are in use
   * @returns the round's context
   */
  openRound(sentMs: number | undefined): number {
    this.#lastContext++
    this.#rounds.push({ context: this.#lastContext, sentMs, reads: this.#gathering })
    this.#gathering = []
    return this.#lastContext
  }

  acknowledge(peer: ReplicaId, context: number): void {
    if (context > (this.#acknowledged.get(peer) ?? 0)) this.#acknowledged.set(peer, context)
  }

  /**
   * Takes the reads of every round that a quorum has acknowledged.
   *
   * @param self counts as having acknowledged everything
   */
  confirm(voters: VoterSets, self: ReplicaId): { readonly reads: readonly ConfirmedRead[]; readonly sentMs?: number } {
    if (this.#rounds.length === 0) return { reads: [] }
    const upTo = jointCommitted(voters, id => (id === self ? this.#lastContext : this.#acknowledged.get(id)))
    const reads: ConfirmedRead[] = []
    let sentMs: number | undefined
    while (this.#rounds.length > 0 && this.#rounds[0]!.context <= upTo) {
      const round = this.#rounds.shift()!
      reads.push(...round.reads)
      sentMs = round.sentMs ?? sentMs
    }
    return sentMs === undefined ? { reads } : { reads, sentMs }
  }

  forward(context: number): void {
    this.#forwarded.set(context, 0)
  }

  /** @returns false when nobody waits for the answer (any more) */
  answered(context: number): boolean {
    return this.#forwarded.delete(context)
  }

  /** A tick has passed. Returns the contexts of reads whose answer has not come for `ticksMax`: it was lost. */
  expire(ticksMax: number): number[] {
    const expired: number[] = []
    for (const [context, ticks] of this.#forwarded) {
      if (ticks + 1 >= ticksMax) expired.push(context)
      else this.#forwarded.set(context, ticks + 1)
    }
    for (const context of expired) this.#forwarded.delete(context)
    return expired
  }

  /** Drops everything that can no longer be confirmed; returns the contexts of this replica's own reads. */
  abort(): number[] {
    const requests = [
      ...this.#rounds.flatMap(round => round.reads.map(read => read.request)),
      ...this.#gathering.map(read => read.request),
      ...this.#early,
    ]
    const own = [
      ...requests.filter(request => request.from === NONE).map(request => request.context),
      ...this.#forwarded.keys(),
    ]
    this.#rounds = []
    this.#gathering = []
    this.#early = []
    this.#acknowledged.clear()
    this.#forwarded.clear()
    return own
  }
}
