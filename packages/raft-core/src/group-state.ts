/**
 * Everything a group remembers, in one place: the roles are functions over it. Only data and the smallest operations on
 * it live here; whoever changes role, term or vote is in roles.ts and election.ts.
 */
import type { InitialState, RandomInt } from './config.ts'
import type { Configuration } from './configuration.ts'
import { type Entry, type LogIndex, NONE, type ReplicaId, type Term } from './entry.ts'
import type { FetchRequest, RestoredState } from './input.ts'
import { ApplyCursor } from './log/apply-cursor.ts'
import { type EntryId, RaftLog } from './log/raft-log.ts'
import { UncommittedTail } from './log/uncommitted-tail.ts'
import { ConfigurationHistory } from './membership/configuration-history.ts'
import type { Message, SnapshotMeta } from './message.ts'
import type { HardState, ReadState, Role, SoftState } from './output.ts'
import { Tracker } from './progress/tracker.ts'
import { Lease } from './reads/lease.ts'
import { ReadQueue } from './reads/read-queue.ts'
import type { Settings } from './settings.ts'
import type { TraceEvent } from './trace.ts'

type AfterAppend = 'appendResponse' | 'voteResponse' | 'preVoteResponse'

/** What a message needs beside its envelope, for every type of message. */
type Draft<M> = M extends { readonly from: ReplicaId } ? Omit<M, 'from' | 'term'> & { readonly term?: Term } : never

export class GroupState<P> {
  readonly settings: Settings
  readonly id: ReplicaId
  readonly log: RaftLog<P>
  readonly apply: ApplyCursor
  readonly tracker: Tracker
  readonly reads: ReadQueue
  readonly lease: Lease
  readonly uncommitted: UncommittedTail
  readonly history: ConfigurationHistory

  term: Term
  vote: ReplicaId
  role: Role = 'follower'
  leader: ReplicaId = NONE

  /** Ticks since the last word of a leader; as a leader, since the last check of the quorum. */
  electionElapsed = 0
  heartbeatElapsed = 0
  /** The election timeout of this state of this replica, in ticks. */
  electionTimeout = 0

  /** The peer that this leader hands over to. */
  transferee: ReplicaId = NONE
  /** This leader takes no configuration change until it has applied this far. */
  pendingConfigIndex: LogIndex = 0
  /** Refuses votes until the ticks are over: a lease given before a restart may still run. */
  voteEmbargoTicks = 0
  /** The newest reading of the host's monotonic clock; undefined where the host gives none. */
  nowMs: number | undefined

  /** See {@link InitialState.uncertainUntil}. */
  uncertainUntil: EntryId | undefined
  /** See {@link InitialState.stateMissing}. */
  stateMissing: boolean
  /** The state was restored to what the group's log says up to here, outside the log. */
  restored: RestoredState | undefined
  /** The log is known to equal that of the leader of this term up to here. */
  leaderMatch: LogIndex = 0

  /** The newest snapshot that the host offered. */
  offeredSnapshot: SnapshotMeta<P> | undefined
  snapshotWanted = false

  messages: Message<P>[] = []
  /** Held back until everything handed out or pending for storage so far is durable. */
  afterAppend: Message<P>[] = []
  fetches: FetchRequest[] = []
  readStates: ReadState[] = []
  /** Committed entries that were fetched, waiting for the next output. */
  fetchedForApply: { readonly from: LogIndex; readonly entries: readonly Entry<P>[] } | undefined
  /** Id of the fetch of entries to be applied; 0: none outstanding. */
  applyFetch = 0
  /** The fetch for apply failed, or brought what does not fit; it is asked for again with the next tick. */
  applyRetryDue = false
  lastFetchId = 0

  /** What the last output said. */
  lastHard: HardState
  lastSoft: SoftState
  readonly #randomInt: RandomInt

  constructor(settings: Settings, initial: InitialState<P>, randomInt: RandomInt) {
    this.settings = settings
    this.id = settings.id
    this.#randomInt = randomInt
    this.term = initial.hardState.term
    this.vote = initial.hardState.vote
    this.log = new RaftLog<P>({
      base: initial.base,
      lastIndex: initial.lastIndex,
      terms: initial.terms,
      commit: initial.hardState.commit,
      entries: initial.entries ?? [],
      configIndexes: initial.unappliedConfigIndexes ?? [],
      cacheBytesMax: settings.cacheBytesMax,
      holes: initial.holes ?? [],
    })
    this.apply = new ApplyCursor(Math.max(initial.applied, initial.base.index), settings.applyingBytesMax)
    this.tracker = new Tracker(initial.configuration, initial.lastIndex, settings)
    this.history = new ConfigurationHistory(initial)
    this.reads = new ReadQueue(settings.pendingReadsMax)
    this.lease = new Lease(settings.leaseMs)
    this.uncommitted = new UncommittedTail(settings.uncommittedBytesMax)
    this.uncertainUntil = initial.uncertainUntil
    this.stateMissing = initial.stateMissing ?? false
    if (settings.readMode === 'lease' && this.term > 0) this.voteEmbargoTicks = settings.electionTicks
    this.lastHard = this.hardState()
    this.lastSoft = { role: this.role, leader: this.leader }
    this.drawElectionTimeout()
  }

  hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.commit }
  }

  get configuration(): Configuration {
    return this.tracker.configuration
  }

  /** Uniform in [electionTicks, 2 × electionTicks − 1]; a priority takes the least or greatest of several draws. */
  drawElectionTimeout(): void {
    const { electionTicks, priority } = this.settings
    let drawn = this.#randomInt(electionTicks)
    for (let i = Math.min(8, Math.abs(priority)); i > 0; i--) {
      const again = this.#randomInt(electionTicks)
      drawn = priority > 0 ? Math.min(drawn, again) : Math.max(drawn, again)
    }
    this.electionTimeout = electionTicks + drawn
  }

  /**
   * Queues a message. Answers that promise something about stored state wait for storage, everything else may leave
   * at once. `term` is this replica's unless the message says otherwise.
   */
  send(draft: Draft<Message<P>>): void {
    const message = { ...draft, from: this.id, term: draft.term ?? this.term } as Message<P>
    if (isAfterAppend(message.type)) this.afterAppend.push(message)
    else this.messages.push(message)
  }

  trace(event: TraceEvent): void {
    this.settings.trace?.(event)
  }
}

function isAfterAppend(type: Message['type']): type is AfterAppend {
  return type === 'appendResponse' || type === 'voteResponse' || type === 'preVoteResponse'
}
