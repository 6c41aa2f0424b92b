/**
 * What one replica asked of its storage, and what it was told to be durable. Outlives the process. It is the checker's
 * own account: what a recovery brings back has to be what was answered, with at most the first few of the requests that
 * were still under way, each of them whole. Nothing of it is given to the code under test.
 */
import type { Ballot, GroupLog, Hole, LogPosition, RecoveredLog } from '@millrace/log-store'
import type { AppendTask, LogIndex, ReplicaId, Term } from '@millrace/raft-core'
import { invariant } from './invariants/violation.ts'
import { baseOf, type LogBase, LogImage } from './log-image.ts'
import type { Payload, SimEntry, StateImage } from './payload.ts'

export type SimAppendTask = AppendTask<Payload>

export type StorageRequest =
  | {
      readonly kind: 'write'
      readonly entries: readonly SimEntry[]
      readonly ballot?: Ballot
      readonly commit: LogIndex
      readonly clearsUncertain?: boolean
    }
  /** The log starts anew at a base. */
  | { readonly kind: 'reset'; readonly base: LogBase }
  /** The base of the log moves up. */
  | { readonly kind: 'trim'; readonly base: LogBase }

/** The end of a log that was found shorter than it was known to be. */
export interface UncertainEnd {
  readonly index: LogIndex
  readonly term: Term
}

export class StorageRecord {
  /** Durable, as far as was answered. */
  term: Term
  vote: ReplicaId = 0
  commit: LogIndex
  /** Absent while the log's end is certain. */
  uncertainUntil: UncertainEnd | undefined
  readonly durable: LogImage
  /** The log as it will be once everything that was asked for is durable. */
  view: LogImage
  /** The newest image of the state machine that survives a crash. */
  checkpoint: StateImage
  /** A part of the log was destroyed on purpose: less than was durable may be found, if that is said. */
  isDamaged = false
  /** The log as it was last opened, for as long as it has holes: then it counts as damaged. */
  holed: Pick<GroupLog, 'holes'> | undefined
  /** A bit of the log has flipped, and may be found at any later start: not everything is looked at in each. */
  hasRot = false
  /** A store was seen to hold this replica. */
  isBorn = false
  #asked: StorageRequest[] = []

  constructor(base: LogBase, checkpoint: StateImage) {
    this.term = base.term
    this.commit = base.index
    this.durable = new LogImage(base)
    this.view = this.durable.copy()
    this.checkpoint = checkpoint
  }

  /** Nothing is under way. */
  get idle(): boolean {
    return this.#asked.length === 0
  }

  /** A snapshot is on its way into the log. */
  get installing(): boolean {
    return this.#asked.some(request => request.kind === 'reset')
  }

  /** Notes what is about to be asked of the store. */
  ask(request: StorageRequest): void {
    apply(this.view, request)
    this.#asked.push(request)
  }

  /** The store says that a request is durable, and with it all that were asked before. */
  answered(request: StorageRequest): void {
    const count = this.#asked.indexOf(request) + 1
    for (const done of this.#asked.splice(0, count)) {
      apply(this.durable, done)
      this.#count(done)
    }
  }

  /**
   * Takes over what a new process has found, and checks it against what was answered before.
   *
   * @param entries everything in the log that was found
   * @throws Violation where something is missing, or something is there that nobody asked for
   */
  found(found: RecoveredLog, entries: readonly SimEntry[]): void {
    const log = new LogImage(baseOf(found.base), entries)
    const carriedOut = this.#checkLog(log, found)
    this.#checkBallot(found, carriedOut)
    this.#asked = []
    this.isBorn = true
    this.isDamaged = false
    this.uncertainUntil = found.uncertainUntil
    this.durable.base = log.base
    this.durable.entries = log.entries
    this.view = log.copy()
    this.commit = found.commit
  }

  /** The part of a log that a store still holds must be what it was. @returns how many of the requests are part of it */
  #checkLog(log: LogImage, found: RecoveredLog): number {
    const expected = this.durable.copy()
    let commit = this.commit
    for (let count = 0; ; count++) {
      if (isSame(expected, log)) {
        const least = Math.min(commit, log.lastIndex)
        invariant(
          found.commit >= least || this.isDamaged || this.hasRot,
          'a commit index survives with the entries it came with',
          () => `recovery found commit ${found.commit}, entries with commit ${least} were durable`,
        )
        return count
      }
      const next = this.#asked[count]
      if (next === undefined) break
      apply(expected, next)
      commit = commitAfter(next, commit)
    }
    this.#checkLoss(log, found)
    return 0
  }

  /** Less than was durable: only after damage, and only if the replica knows how far it went. */
  #checkLoss(log: LogImage, { uncertainUntil }: RecoveredLog): void {
    const { durable } = this
    const { lastIndex, lastTerm } = log
    const isPrefix = durable.position(lastIndex)?.chain === log.chain && durable.base.index <= log.base.index
    const isNoticed =
      uncertainUntil !== undefined &&
      (uncertainUntil.term > durable.lastTerm ||
        (uncertainUntil.term === durable.lastTerm && uncertainUntil.index >= durable.lastIndex))
    invariant(
      (this.isDamaged || this.hasRot) && isPrefix && isNoticed,
      'what was acknowledged survives',
      () =>
        `recovery found (${log.base.index}, ${lastIndex}] ending in term ${lastTerm}, chain ${log.chain}, ` +
        `${uncertainUntil === undefined ? 'certain' : `uncertain until ${uncertainUntil.index}`}; durable was ` +
        `(${durable.base.index}, ${durable.lastIndex}] ending in term ${durable.lastTerm}, chain ${durable.chain}, ` +
        `with ${this.#asked.length} requests under way${this.isDamaged ? ', and it was damaged' : ''}`,
    )
  }

  /** The vote file is ahead of the log, never behind: of the ballots asked for, one that the log does not outrun. */
  #checkBallot(found: RecoveredLog, carriedOut: number): void {
    const { term, vote } = startBallot(found)
    const asked = this.#asked.map(request => (request.kind === 'write' ? request.ballot : undefined))
    const least = asked.slice(0, carriedOut).findLastIndex(ballot => ballot !== undefined)
    const isOne =
      (least < 0 && term === this.term && vote === this.vote) ||
      asked.slice(Math.max(0, least)).some(ballot => ballot?.term === term && ballot.vote === vote)
    invariant(
      isOne,
      'term and vote survive',
      () =>
        `recovery found term ${term} and vote ${vote}; durable were ${this.term} and ${this.vote}, asked for ` +
        `${asked.map(ballot => (ballot === undefined ? '-' : `${ballot.term}/${ballot.vote}`)).join(' ')}`,
    )
    this.term = term
    this.vote = vote
  }

  /**
   * What was asked for in place of a hole, for comparison: what a store cannot read, it can neither prove to be what it was.
   *
   * @returns undefined where the ends of the hole are not those of anything that was asked for
   */
  entriesIn({ before, last }: Hole): readonly SimEntry[] | undefined {
    const holds = ({ index, chain }: LogPosition, log: LogImage): boolean => log.position(index)?.chain === chain
    const log = [this.durable, this.view].find(image => holds(before, image) && holds(last, image))
    return log?.entries.filter(({ index }) => before.index < index && index <= last.index)
  }

  /** The log has been opened; it may have holes. */
  opened(log: Pick<GroupLog, 'holes'>): void {
    this.holed = log.holes.length > 0 ? log : undefined
  }

  #count(done: StorageRequest): void {
    this.commit = commitAfter(done, this.commit)
    if (done.kind !== 'write') return
    if (done.ballot !== undefined) {
      this.term = done.ballot.term
      this.vote = done.ballot.vote
    }
    if (done.clearsUncertain === true) this.uncertainUntil = undefined
  }
}

/** A log proves that its last term has begun, whatever the vote file remembers. */
export function startBallot({ ballot, last }: RecoveredLog): Ballot {
  return ballot.term >= last.term ? ballot : { term: last.term, vote: 0 }
}

/** A commit index is durable with entries only, and forgotten with the log it was about. */
function commitAfter(request: StorageRequest, commit: LogIndex): LogIndex {
  if (request.kind !== 'write') return request.kind === 'reset' ? request.base.index : commit
  return request.entries.length > 0 ? Math.max(commit, request.commit) : commit
}

function apply(log: LogImage, request: StorageRequest): void {
  if (request.kind === 'reset') log.restore(request.base)
  else if (request.kind === 'trim') log.compactTo(request.base)
  else log.append(request.entries)
}

function isSame(a: LogImage, b: LogImage): boolean {
  return (
    a.base.index === b.base.index &&
    a.base.chain === b.base.chain &&
    a.lastIndex === b.lastIndex &&
    a.lastTerm === b.lastTerm &&
    a.chain === b.chain
  )
}
