/**
 * What one replica writes and reads: seals the entries that its leader made, hands writes to the log, and fetches what
 * the core no longer has in memory.
 *
 * Invariant: frames enter the log in index order and joined by their chains; the responses of a task are released by
 * the completion of its write, or at once where it has nothing to write and no write of the group is under way.
 */
import { type GroupLog, LogDamaged, LogError, type LogPosition, type LogWrite } from '@millrace/log-store'
import type {
  AppendTask,
  Entry,
  FetchRequest,
  Input,
  LogIndex,
  Message,
  ReplicaId,
  SnapshotMeta,
  Term,
} from '@millrace/raft-core'
import { type Frame, FrameKind, framePayload } from '@millrace/record'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import { type EntryPayload, entriesOfFrames, isSealed } from './entry-frame.ts'
import type { HostServices } from './host-services.ts'
import type { GroupCredit } from './inbound-credit.ts'
import type { LogTail } from './log-tail.ts'
import type { ReplicaPlaces } from './replica-places.ts'

export type Responses = readonly Message<EntryPayload>[]

export interface GroupStorageOptions {
  readonly services: HostServices
  readonly log: GroupLog
  readonly tail: LogTail
  readonly places: ReplicaPlaces
  readonly ballot: { readonly term: Term; readonly vote: ReplicaId }
  readonly commit: LogIndex
  readonly credit: GroupCredit
  /** Called from a later turn of the event loop, in the order of the writes. */
  readonly released: (responses: Responses) => void
  /** Where the log will stand once that snapshot, which was received, is installed. */
  readonly positionOf: (snapshot: SnapshotMeta<EntryPayload>) => LogPosition
  /** Replaces state and log, durably. Whoever asks for it hears of a failure, too: then nothing is written any more. */
  readonly install: (snapshot: SnapshotMeta<EntryPayload>) => Promise<void>
  /** An entry that the core asked for is in a hole. */
  readonly damaged: () => void
  /** Answers of fetches. */
  readonly input: (input: Input<EntryPayload>) => void
}

export class GroupStorage {
  readonly #options: GroupStorageOptions
  /** As handed to the log, durable or not. */
  #term: Term
  #vote: ReplicaId
  #commit: LogIndex
  #writesOutstanding = 0
  /** Of the frames of the write that is being put together: those that a peer has sent. */
  #inboundBytes = 0
  /** Writes that wait for a snapshot to be installed, in order; undefined while none is. */
  #held: (() => void)[] | undefined

  constructor(options: GroupStorageOptions) {
    this.#options = options
    this.#term = options.ballot.term
    this.#vote = options.ballot.vote
    this.#commit = options.commit
  }

  /** The term as the core last gave it out to be stored. */
  get term(): Term {
    return this.#term
  }

  get commit(): LogIndex {
    return this.#commit
  }

  get idle(): boolean {
    return this.#writesOutstanding === 0
  }

  /**
   * Carries out an append task.
   *
   * @returns responses that may be delivered now, because nothing has to be written for them
   */
  store(task: AppendTask<EntryPayload>): Responses {
    const { snapshot } = task
    if (snapshot !== undefined) this.#options.tail.restart(this.#options.positionOf(snapshot))
    const frames = this.#frames(task.entries)
    const { hardState } = task
    const voted = hardState !== undefined && (hardState.term !== this.#term || hardState.vote !== this.#vote)
    // Until the log is the snapshot's, its commit index says nothing about what is there.
    const commitBefore = this.#commit
    if (hardState !== undefined) {
      this.#term = hardState.term
      this.#vote = hardState.vote
      this.#commit = hardState.commit
      this.#options.tail.committed(hardState.commit)
    }
    const ballot = voted ? { ballot: { term: this.#term, vote: this.#vote } } : undefined
    if (snapshot !== undefined) {
      if (voted) this.#write({ frames: [], commit: commitBefore, ...ballot }, [])
      this.#install(snapshot, frames.length === 0 ? task.responses : [])
      if (frames.length > 0) this.#write({ frames, commit: this.#commit }, task.responses)
      return []
    }
    if (frames.length === 0 && !voted && this.#writesOutstanding === 0) return task.responses
    this.#write({ frames, commit: this.#commit, ...ballot }, task.responses)
    return []
  }

  /** The end of the log has matched a leader's: the store forgets that it was uncertain, or every start would doubt it anew. */
  certain(): void {
    this.#write({ frames: [], commit: this.#commit, clearsUncertain: true }, [])
  }

  /** Reads what the core asked for, from memory where it can. */
  fetch(request: FetchRequest): void {
    const { log } = this.#options
    const bytesMax = Math.max(1, request.bytesMax)
    const cached = log.readCached(request.from, request.to, bytesMax)
    if (cached !== null) this.#fetched(request, cached)
    else {
      log.read(request.from, request.to, bytesMax).then(
        frames => this.#fetched(request, frames),
        (error: unknown) => this.#fetchFailed(request, error),
      )
    }
  }

  #frames(entries: readonly Entry<EntryPayload>[]): readonly Frame[] {
    const { tail, places, services } = this.#options
    const wallMs = entries.length === 0 ? 0 : services.clock.wallMs()
    return entries.map(entry => {
      const { payload } = entry
      let frame: Frame
      if (isSealed(payload)) {
        frame = payload
        this.#inboundBytes += frame.bytes.length
        tail.append(frame)
      } else {
        frame = tail.seal(entry, wallMs, configuration => places.describe(configuration))
      }
      if (frame.header.kind === FrameKind.configuration) places.learn(decodeGroupConfiguration(framePayload(frame)))
      return frame
    })
  }

  #write(write: LogWrite, responses: Responses): void {
    const { credit, log } = this.#options
    const inboundBytes = this.#inboundBytes
    this.#inboundBytes = 0
    this.#writesOutstanding += 1
    credit.hold(inboundBytes)
    const start = (): void => {
      log.write(write, () => {
        this.#writesOutstanding -= 1
        credit.giveBack(inboundBytes)
        this.#options.released(responses)
      })
    }
    if (this.#held === undefined) start()
    else this.#held.push(start)
  }

  /** Installs a snapshot when everything before is handed to the log; what comes after waits for it. */
  #install(snapshot: SnapshotMeta<EntryPayload>, responses: Responses): void {
    this.#writesOutstanding += 1
    const run = (): void => {
      const held: (() => void)[] = []
      this.#held = held
      this.#options.install(snapshot).then(
        () => {
          this.#writesOutstanding -= 1
          this.#options.released(responses)
          this.#resume(held)
        },
        // The replica is halted: what waits is never written, and nobody is told of it.
        () => undefined,
      )
    }
    if (this.#held === undefined) run()
    else this.#held.push(run)
  }

  /** Goes on with what waited, up to the next snapshot among it. */
  #resume(held: (() => void)[]): void {
    this.#held = undefined
    while (held.length > 0 && this.#held === undefined) held.shift()!()
    if (this.#held !== undefined) (this.#held as (() => void)[]).push(...held)
  }

  #fetched(request: FetchRequest, frames: readonly Frame[]): void {
    try {
      this.#options.input({ type: 'entriesFetched', request, entries: entriesOfFrames(frames) })
    } catch (error) {
      this.#fetchFailed(request, error)
    }
  }

  #fetchFailed(request: FetchRequest, error: unknown): void {
    const { services, log, input } = this.#options
    const code = error instanceof LogError ? error.code : 'IO'
    const reason = code === 'COMPACTED' ? 'compacted' : code === 'DAMAGED' ? 'damaged' : 'io'
    // What is damaged is reported once, by its repair.
    if (error instanceof LogDamaged) this.#options.damaged()
    else
      services.report({
        level: reason === 'compacted' ? 'warn' : 'error',
        group: log.group,
        message: `cannot read entries ${request.from}–${request.to - 1} to ${request.purpose} them: ${String(error)}`,
      })
    input({ type: 'fetchFailed', request, reason })
  }
}
