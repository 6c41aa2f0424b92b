/**
 * The receiving end of snapshot transfers for one replica: stores chunks aside, and hands a snapshot over when it is whole,
 * verified and durable. What was received of one is kept for a while after its call broke, and gone after a restart.
 *
 * Never lets a part of a snapshot be seen, and never takes a chunk of a leader of an earlier term.
 */
import type { SnapshotInfo, SnapshotSink, SnapshotStore } from '@millrace/log-store'
import type { LogIndex, ReplicaId, Term } from '@millrace/raft-core'
import { crc32 } from '@millrace/record'
import { BIRTH_INDEX } from './birth-record.ts'
import type { Clock } from './node.ts'
import type { IncomingSnapshot, SnapshotAnswer, SnapshotChunk, SnapshotOffer } from './snapshot-calls.ts'
import type { TransferProgress } from './snapshot-sends.ts'

/** Chunks that arrived and are not written; a sender leaves fewer unanswered. */
const QUEUED_CHUNKS_MAX = 16
/** How long a part of a snapshot is kept without a call that goes on with it. */
const PART_KEPT_MS = 10 * 60_000

export interface SnapshotReceiverOptions {
  readonly replica: ReplicaId
  readonly clock: Pick<Clock, 'setTimer'>
  /** Undefined where the state machine has no snapshots: then only that of a birth is taken. */
  readonly store: SnapshotStore | undefined
  term(): Term
  commit(): LogIndex
  /** Whether that replica may speak from that node. */
  admits(replica: ReplicaId, fromNode: number): boolean
  /** A snapshot that is durable, or that is not needed here any more. */
  deliver(offer: SnapshotOffer): void
  received(bytes: number): void
}

/** What there is of one snapshot. */
interface Part {
  readonly id: string
  readonly info: SnapshotInfo
  readonly sink: SnapshotSink
  received: number
  checksum: number
}

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions
  #part: Part | undefined
  #call: ReceivingCall | undefined
  /** Everything that was begun on files is over. */
  #work: Promise<void> = Promise.resolve()
  #expiry: { cancel(): void } | undefined
  #closed = false

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options
  }

  /** How far the snapshot is that is being received. */
  get progress(): TransferProgress | undefined {
    if (this.#part === undefined) return undefined
    const { info, received } = this.#part
    return { index: info.index, bytes: received, bytesTotal: info.contentBytes }
  }

  /** @see TransportHandler.snapshotOffered */
  offered(fromNode: number, offer: SnapshotOffer, answer: (answer: SnapshotAnswer) => void): IncomingSnapshot {
    const call = new ReceivingCall(offer, answer, () => this.#options.term())
    const reason = this.#refusal(fromNode, offer)
    if (reason !== undefined) {
      call.refuse(reason)
      return { chunk: () => undefined, ended: () => undefined }
    }
    // Of two calls the newer one counts: the older one is broken, and has not been noticed yet.
    this.#call?.refuse('another transfer to this replica has begun')
    this.#call = call
    this.#expiry?.cancel()
    this.#later(call, () => this.#begin(call))
    return {
      chunk: chunk => this.#chunk(call, chunk),
      ended: () => {
        if (this.#call === call) this.#ended()
        call.over = true
      },
    }
  }

  /** Drops what is half received. Resolves when no file is open any more. */
  close(): Promise<void> {
    this.#closed = true
    this.#expiry?.cancel()
    this.#call?.refuse('the replica takes no further part')
    this.#call = undefined
    this.#work = this.#work.then(() => this.#drop())
    return this.#work
  }

  #refusal(fromNode: number, { from, to, term, info }: SnapshotOffer): string | undefined {
    const { replica, admits, store } = this.#options
    if (this.#closed) return 'the replica takes no further part'
    if (to !== replica) return `it is for replica ${to}, here is ${replica}`
    if (!admits(from, fromNode)) return `replica ${from} is not on node ${fromNode}`
    if (term < this.#options.term()) return 'its sender leads no longer'
    if (store === undefined && !isBirth(info)) return 'this state machine has no snapshots'
    return undefined
  }

  #ended(): void {
    this.#call = undefined
    if (this.#closed) return
    this.#expiry = this.#options.clock.setTimer(PART_KEPT_MS, () => {
      this.#work = this.#work.then(() => (this.#call === undefined ? this.#drop() : undefined))
    })
  }

  async #begin(call: ReceivingCall): Promise<void> {
    const { info, snapshotId: id } = call.offer
    const { store, commit } = this.#options
    if (store === undefined || info.index <= commit() || (await holds(store, info))) {
      this.#deliver(call)
      return
    }
    if (this.#part?.id !== id) {
      await this.#drop()
      this.#part = { id, info, sink: await store.create(info), received: 0, checksum: 0 }
    }
    call.expected = this.#part.received
    call.progress(this.#part.received)
  }

  #chunk(call: ReceivingCall, chunk: SnapshotChunk): void {
    if (this.#call !== call || call.over) return
    const { offset, data, crc } = chunk
    const { info } = call.offer
    const wrong =
      call.isStale ||
      (offset !== call.expected && `offset ${offset} where ${call.expected} is due`) ||
      (offset + data.length > info.contentBytes && `it goes beyond the ${info.contentBytes} bytes of the snapshot`) ||
      (call.queued >= QUEUED_CHUNKS_MAX && 'too many chunks at once') ||
      (crc32(data) !== crc && 'checksum of a chunk does not match')
    if (wrong !== false) {
      call.refuse(wrong)
      return
    }
    call.expected = offset + data.length
    call.queued += 1
    this.#later(call, () => this.#store(call, chunk))
  }

  async #store(call: ReceivingCall, { data, done }: SnapshotChunk): Promise<void> {
    call.queued -= 1
    const part = this.#part
    if (part === undefined) throw new Error('the part that was received is gone')
    await part.sink.write(data)
    part.checksum = crc32(data, part.checksum)
    part.received += data.length
    this.#options.received(data.length)
    if (!done) {
      call.progress(part.received)
      return
    }
    await this.#finish(part)
    this.#deliver(call)
  }

  /** @throws Error when the content is not what was announced */
  async #finish(part: Part): Promise<void> {
    const { info, sink, received, checksum } = part
    const whole = received === info.contentBytes && checksum === info.contentChecksum
    if (!whole) throw new Error('content of the snapshot does not match its checksum')
    await sink.commit()
    this.#part = undefined
  }

  #deliver(call: ReceivingCall): void {
    // Whatever this replica has voted for meanwhile: a leader of a term that is over gives it nothing.
    if (call.isStale !== false) {
      call.refuse(call.isStale)
      return
    }
    this.#options.deliver(call.offer)
    call.done()
  }

  /** Runs after everything that was begun before, unless the call is over by then. */
  #later(call: ReceivingCall, run: () => void | Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (call.over || this.#closed) return
      try {
        await run()
      } catch (error) {
        // What is wrong with a part stays wrong: it is begun anew.
        await this.#drop()
        call.refuse(error instanceof Error ? error.message : String(error))
      }
    })
  }

  async #drop(): Promise<void> {
    const part = this.#part
    this.#part = undefined
    // What cannot be removed now is removed at the next start; nobody ever reads it.
    await part?.sink.abort().catch(() => undefined)
  }
}

/** One call, as far as it concerns the answers. */
class ReceivingCall {
  readonly offer: SnapshotOffer
  /** Of the next chunk. */
  expected = 0
  queued = 0
  over = false
  readonly #answer: (answer: SnapshotAnswer) => void
  readonly #term: () => Term

  constructor(offer: SnapshotOffer, answer: (answer: SnapshotAnswer) => void, term: () => Term) {
    this.offer = offer
    this.#answer = answer
    this.#term = term
  }

  /** Why nothing more is taken of it, if its leader was deposed meanwhile. */
  get isStale(): string | false {
    return this.offer.term < this.#term() && 'its sender leads no longer'
  }

  progress(received: number): void {
    if (!this.over) this.#answer({ term: this.#term(), received, done: false })
  }

  done(): void {
    this.#answer({ term: this.#term(), received: this.offer.info.contentBytes, done: true })
    this.over = true
  }

  refuse(reason: string): void {
    if (!this.over) this.#answer({ term: this.#term(), received: this.expected, done: false, refused: reason })
    this.over = true
  }
}

/** The state at the birth of a group is empty, and everybody knows it. */
/** Whether it is there and whole: one that is damaged has to come again. */
async function holds(store: SnapshotStore, info: SnapshotInfo): Promise<boolean> {
  const listed = (): boolean => store.list().some(other => isSame(other, info))
  if (!listed()) return false
  const reader = await store.openNewest()
  await reader?.close()
  return listed()
}

export function isBirth({ index, contentBytes }: SnapshotInfo): boolean {
  return index === BIRTH_INDEX && contentBytes === 0
}

function isSame(a: SnapshotInfo, b: SnapshotInfo): boolean {
  const counts = a.contentBytes === b.contentBytes && a.contentChecksum === b.contentChecksum
  return a.index === b.index && a.term === b.term && counts
}
