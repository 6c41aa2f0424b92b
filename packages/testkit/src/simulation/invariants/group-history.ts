/**
 * Everything that was ever true of one group, as an onlooker sees it who knows every replica: who led, who voted for whom,
 * what was written where, what was committed. Grows only; the invariants compare what a replica does with it.
 */
import type { Configuration, LogIndex, ReplicaId, Term } from '@millrace/raft-core'
import { chainOf, commandOf, frameOf, type SimEntry } from '../payload.ts'
import type { StorageRecord } from '../storage-record.ts'
import { invariant } from './violation.ts'

interface Written {
  /** What it says, and everything before it. */
  readonly chain: number
  /** The client's; 0 where it is none. */
  readonly command: number
  readonly previousTerm: Term
  /** Replicas on whose disk this entry was durable at some time. */
  readonly holders: Set<ReplicaId>
}

export interface Committed {
  readonly term: Term
  readonly chain: number
  readonly command: number
  readonly configuration: Configuration | undefined
}

/** One leadership: a replica between two starts of its process. */
export interface Leadership {
  readonly replica: ReplicaId
  readonly incarnation: number
}

const INDEX_SPAN = 2 ** 28

export class GroupHistory {
  readonly leaders: Map<Term, Leadership> = new Map()
  /** Commands whose proposal was refused: they may never show up. */
  readonly refused: Set<number> = new Set()
  /** The state's hash by applied index. */
  readonly hashes: Map<LogIndex, number> = new Map()
  readonly birthIndex: LogIndex
  readonly birthTerm: Term
  readonly #votes: Map<Term, Map<ReplicaId, ReplicaId>> = new Map()
  readonly #written: Map<number, Written> = new Map()
  readonly #committed: Committed[] = []
  /** Indexes of committed configuration entries, rising. */
  readonly #configurations: LogIndex[] = []
  /** The highest snapshot that a replica has made durable. */
  readonly #snapshots: Map<ReplicaId, LogIndex> = new Map()

  /** @param birth the entry that every log of the group begins after */
  constructor(birth: { readonly index: LogIndex; readonly term: Term }) {
    this.birthIndex = birth.index
    this.birthTerm = birth.term
  }

  /** The highest index that any leader has committed. */
  get committedTo(): LogIndex {
    return this.birthIndex + this.#committed.length
  }

  committed(index: LogIndex): Committed | undefined {
    return this.#committed[index - this.birthIndex - 1]
  }

  /** Records the next committed entry. */
  commit(entry: Committed): void {
    const index = this.committedTo + 1
    invariant(
      !this.refused.has(entry.command),
      'refused means not stored',
      () => `command ${entry.command} was refused and is committed at ${index}`,
    )
    this.#committed.push(entry)
    if (entry.configuration !== undefined) this.#configurations.push(index)
  }

  /** Index of the newest committed configuration at or below `index`; 0 where there is none but the one of the birth. */
  configurationIndexAt(index: LogIndex): LogIndex {
    return this.#configurations.findLast(at => at <= index) ?? 0
  }

  written(index: LogIndex, term: Term): Written | undefined {
    return this.#written.get(keyOf(index, term))
  }

  /** Log matching (Raft paper, section 5.3): (index, term) names one entry and one history before it. */
  write(replica: ReplicaId, entry: SimEntry, previousTerm: Term): Written {
    const chain = chainOf(entry)
    const key = keyOf(entry.index, entry.term)
    const known = this.#written.get(key)
    if (known === undefined) {
      const written = { chain, command: commandOf(frameOf(entry)), previousTerm, holders: new Set<ReplicaId>() }
      this.#written.set(key, written)
      return written
    }
    invariant(
      known.chain === chain && known.previousTerm === previousTerm,
      'log matching',
      () =>
        `entry ${entry.index} of term ${entry.term} at replica ${replica} has chain ${chain} after term ${previousTerm}, ` +
        `elsewhere it has chain ${known.chain} after term ${known.previousTerm}`,
    )
    return known
  }

  voted(replica: ReplicaId, term: Term, candidate: ReplicaId): void {
    let votes = this.#votes.get(term)
    if (votes === undefined) {
      votes = new Map()
      this.#votes.set(term, votes)
    }
    const before = votes.get(replica)
    invariant(
      before === undefined || before === candidate,
      'one vote per term',
      () => `replica ${replica} voted for ${before} and for ${candidate} in term ${term}`,
    )
    votes.set(replica, candidate)
  }

  /** Whom a replica's durable vote was for. */
  vote(replica: ReplicaId, term: Term): ReplicaId | undefined {
    return this.#votes.get(term)?.get(replica)
  }

  /** Takes note of all that a disk holds, as at a start. */
  noteDisk(replica: ReplicaId, disk: StorageRecord): void {
    if (disk.vote !== 0) this.voted(replica, disk.term, disk.vote)
    this.noteSnapshot(replica, disk.durable.base.index)
    this.noteDurable(replica, disk.durable.entries)
  }

  noteDurable(replica: ReplicaId, entries: readonly SimEntry[]): void {
    for (const entry of entries) this.written(entry.index, entry.term)?.holders.add(replica)
  }

  noteSnapshot(replica: ReplicaId, index: LogIndex): void {
    this.#snapshots.set(replica, Math.max(index, this.#snapshots.get(replica) ?? 0))
  }

  /** Whether the entry was durable at the replica at some time, by itself or inside a snapshot. */
  holds(replica: ReplicaId, index: LogIndex, term: Term): boolean {
    return (this.#snapshots.get(replica) ?? -1) >= index || this.written(index, term)?.holders.has(replica) === true
  }
}

function keyOf(index: LogIndex, term: Term): number {
  return term * INDEX_SPAN + index
}
