/**
 * Appends a stream of records with many batches in flight and bounded memory: reading stops while the window is full.
 * The first failure ends the reading; what is in flight is waited for, so that the counts are the whole truth.
 */
import type { Outcome } from '@millrace/record'
import type { InputRecord, ParseRecord } from '../input/record-input.ts'

/** Appends records; says how many each partition took. Must not reject before the outcome is known as far as it can be. */
export type AppendBatch = (records: readonly InputRecord[]) => Promise<readonly { partition: number; count: number }[]>

/** Records of a batch that failed, by what became of them. */
export interface FailedBatch extends Readonly<Record<Outcome, number>> {
  readonly stored: number
}

export interface AppendCounts {
  readonly appended: number
  /** Records per partition, by partition. */
  readonly partitions: ReadonlyMap<number, number>
  /** Records whose append failed, by what is known about them. */
  readonly failed: Readonly<Record<Outcome, number>>
  readonly bytes: number
  /** The first failure: of an append, of the input, or of a record in it. */
  readonly error: unknown
}

export interface AppendStreamOptions {
  readonly parse: ParseRecord
  readonly append: AppendBatch
  /** What is known about a batch whose append failed with this error. */
  readonly outcomeOf: (error: unknown, count: number) => FailedBatch
  /** Ends the reading early; not an error. */
  readonly signal?: AbortSignal
  /** Called after each answer. */
  readonly onProgress?: (appended: number, bytes: number) => void
}

const BATCH_RECORDS_MAX = 1000
const BATCH_BYTES_MAX = 256 * 1024
const INFLIGHT_BYTES_MAX = 8 * 2 ** 20
const INFLIGHT_BATCHES_MAX = 64

export async function appendStream(
  input: AsyncIterable<readonly Uint8Array[]>,
  options: AppendStreamOptions,
): Promise<AppendCounts> {
  const run = new AppendRun(options)
  let error: unknown
  try {
    for await (const lines of input) {
      for (const batch of run.parse(lines)) {
        await run.room()
        if (run.error !== undefined || options.signal?.aborted === true) break
        run.send(batch)
      }
      if (run.error !== undefined || options.signal?.aborted === true) break
    }
  } catch (caught) {
    // A signal ends the input in the middle of a read.
    if (options.signal?.aborted !== true) error = caught
  }
  await run.settled()
  return { ...run.counts(), error: run.error ?? error }
}

class AppendRun {
  error: unknown
  private readonly options: AppendStreamOptions
  private readonly inflight = new Set<Promise<void>>()
  private inflightBytes = 0
  private number = 0
  private appended = 0
  private bytes = 0
  private readonly partitions = new Map<number, number>()
  private readonly failed: Record<Outcome, number> = { not_stored: 0, unknown: 0 }

  constructor(options: AppendStreamOptions) {
    this.options = options
  }

  /** Batches of the lines of one chunk. Those before a bad line come out before its error. */
  *parse(lines: readonly Uint8Array[]): Generator<InputRecord[], void, undefined> {
    let batch: InputRecord[] = []
    let bytes = 0
    let failure: { readonly error: unknown } | undefined
    for (const line of lines) {
      this.number += 1
      let record: InputRecord | undefined
      try {
        record = this.options.parse(line, this.number)
      } catch (error) {
        failure = { error }
        break
      }
      if (record === undefined) continue
      if (batch.length === BATCH_RECORDS_MAX || (batch.length > 0 && bytes + line.length > BATCH_BYTES_MAX)) {
        yield batch
        batch = []
        bytes = 0
      }
      batch.push(record)
      bytes += line.length
    }
    if (batch.length > 0) yield batch
    if (failure !== undefined) throw failure.error
  }

  /** Resolves when another batch may be in flight. */
  async room(): Promise<void> {
    while (this.inflightBytes > INFLIGHT_BYTES_MAX || this.inflight.size >= INFLIGHT_BATCHES_MAX)
      await Promise.race(this.inflight)
  }

  send(records: readonly InputRecord[]): void {
    const bytes = records.reduce((sum, { value }) => sum + value.length, 0)
    this.inflightBytes += bytes
    const sent = this.options
      .append(records)
      .then(
        parts => this.stored(records.length, bytes, parts),
        (error: unknown) => this.refused(records.length, error),
      )
      .finally(() => {
        this.inflight.delete(sent)
        this.inflightBytes -= bytes
      })
    this.inflight.add(sent)
  }

  async settled(): Promise<void> {
    await Promise.all(this.inflight)
  }

  counts(): Omit<AppendCounts, 'error'> {
    const partitions = new Map([...this.partitions].toSorted(([a], [b]) => a - b))
    return { appended: this.appended, partitions, failed: this.failed, bytes: this.bytes }
  }

  private stored(count: number, bytes: number, parts: readonly { partition: number; count: number }[]): void {
    this.appended += count
    this.bytes += bytes
    for (const part of parts)
      this.partitions.set(part.partition, (this.partitions.get(part.partition) ?? 0) + part.count)
    this.options.onProgress?.(this.appended, this.bytes)
  }

  private refused(count: number, error: unknown): void {
    const { stored, not_stored: notStored, unknown } = this.options.outcomeOf(error, count)
    this.appended += stored
    this.failed.not_stored += notStored
    this.failed.unknown += unknown
    this.error ??= error
  }
}
