/**
 * Records on their way to one partition: a {@link Gathering} that grows, then an {@link AppendBatch} that is sent. Both
 * keep, per record, who waits for it; a record whose caller gives up in time is taken out again.
 */
import { crc32, type MillraceError, type RecordInput, RecordSetBuilder, RecordSetReader } from '@millrace/record'
import type { Expectation } from './append-link.ts'
import type { LaneBatch } from './lane-slot.ts'

/** Who waits for records. `mark` is what was given with the record: a call with many records tells them apart by it. */
export interface AppendWaiter {
  stored(mark: number, partition: number, offset: number, timestamp: number): void
  failed(mark: number, error: MillraceError): void
}

export interface AppendBatch extends LaneBatch {
  readonly expect: Expectation | undefined
  bytes: Uint8Array
  crc: number
  codec: number
  /** One item per record. */
  waiters: AppendWaiter[]
  marks: number[]
  /** What the records take of the client's buffer. */
  readonly charge: number
  /** Called when every record has its result. */
  readonly whenSettled: (() => void)[]
}

export type Compression = 'none' | 'zstd'

/** The caller gave up while the record was being gathered. */
const GONE: AppendWaiter = { stored: () => {}, failed: () => {} }

export class Gathering {
  readonly #builder: RecordSetBuilder
  #waiters: AppendWaiter[] = []
  #marks: number[] = []
  #gone = 0
  #charge = 0
  /** When the first record came. */
  startedAt = 0
  /** When the last record came: a batch gives up `appendTimeoutMs` after that. */
  lastAt = 0

  constructor(compression: Compression, batchBytesMax: number) {
    this.#builder = new RecordSetBuilder({ codec: compression, bytesMax: batchBytesMax })
  }

  get count(): number {
    return this.#builder.count
  }

  get byteLength(): number {
    return this.#builder.byteLength
  }

  /**
   * Takes a record in.
   *
   * @returns what it takes of the buffer; −1 where the batch is full
   * @throws RECORD_TOO_LARGE, INVALID_ARGUMENT
   */
  add(record: RecordInput, waiter: AppendWaiter, mark: number, now: number): number {
    const before = this.#builder.byteLength
    if (!this.#builder.add(record)) return -1
    if (this.#waiters.length === 0) this.startedAt = now
    this.lastAt = now
    this.#waiters.push(waiter)
    this.#marks.push(mark)
    const charge = this.#builder.byteLength - before + RECORD_OVERHEAD_BYTES
    this.#charge += charge
    return charge
  }

  /** The waiter's records leave; false where it has none here. */
  drop(waiter: AppendWaiter): boolean {
    const at = this.#waiters.indexOf(waiter)
    if (at === -1) return false
    this.#waiters[at] = GONE
    this.#gone++
    return true
  }

  /** What was gathered, as a batch; null where nothing is left of it. The gathering starts anew. */
  seal(id: number, deadline: number, expect: Expectation | undefined): AppendBatch | null {
    if (this.#waiters.length === 0) return null
    const { bytes, codec } = this.#builder.build()
    const batch: AppendBatch = {
      id,
      conditional: expect !== undefined,
      deadline,
      expect,
      bytes,
      crc: 0,
      codec,
      waiters: this.#waiters,
      marks: this.#marks,
      charge: this.#charge,
      whenSettled: [],
    }
    const gone = this.#gone
    this.#waiters = []
    this.#marks = []
    this.#gone = 0
    this.#charge = 0
    if (gone > 0) removeWaiter(batch, GONE)
    batch.crc = crc32(batch.bytes)
    return batch
  }
}

/** Bookkeeping per record beside its bytes: promise, entry in the batch. */
export const RECORD_OVERHEAD_BYTES = 64

/** Takes a waiter's records out of a batch that was never sent, and encodes it again. False: it has none here. */
export function removeWaiter(batch: AppendBatch, waiter: AppendWaiter): boolean {
  if (!batch.waiters.includes(waiter)) return false
  const reader = new RecordSetReader(batch.bytes)
  const builder = new RecordSetBuilder({ codec: batch.codec === 1 ? 'zstd' : 'none' })
  const keep = batch.waiters.map(w => w !== waiter)
  for (let i = 0; i < reader.count; i++) if (keep[i]) builder.add(reader.record(i))
  batch.waiters = batch.waiters.filter((_, i) => keep[i])
  batch.marks = batch.marks.filter((_, i) => keep[i])
  if (builder.count === 0) return true
  const { bytes, codec } = builder.build()
  batch.bytes = bytes
  batch.codec = codec
  batch.crc = crc32(bytes)
  return true
}
