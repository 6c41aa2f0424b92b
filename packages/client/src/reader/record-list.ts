/** The records of a batch, made one by one as they are looked at. */
import { ReceivedRecord, type RecordColumns, type RecordOrigin } from './received-record.ts'

/** Records that follow each other without gaps and were appended at the same time: one frame, usually. */
export interface RecordRun {
  readonly columns: RecordColumns
  /** First record of `columns` that belongs to the batch: a frame may begin before the asked offset. */
  readonly first: number
  /** Offset of record 0 of `columns`. */
  readonly baseOffset: number
  readonly timestamp: number
}

export class RecordList<T, K = string> implements Iterable<ReceivedRecord<T, K>> {
  readonly length: number
  readonly #origin: RecordOrigin<T, K>
  readonly #runs: readonly RecordRun[]

  constructor(origin: RecordOrigin<T, K>, runs: readonly RecordRun[]) {
    this.#origin = origin
    this.#runs = runs
    this.length = runs.reduce((sum, run) => sum + run.columns.count - run.first, 0)
  }

  /** Record `i`, from 0; undefined behind the end. */
  at(i: number): ReceivedRecord<T, K> | undefined {
    let rest = i
    for (const run of this.#runs) {
      const count = run.columns.count - run.first
      if (rest < count) return rest < 0 ? undefined : this.#record(run, run.first + rest)
      rest -= count
    }
    return undefined
  }

  /** Records `start` to `end` − 1 as an array. */
  slice(start = 0, end: number = this.length): ReceivedRecord<T, K>[] {
    const records: ReceivedRecord<T, K>[] = []
    let i = 0
    for (const record of this) {
      if (i >= end) break
      if (i >= start) records.push(record)
      i++
    }
    return records
  }

  map<R>(change: (record: ReceivedRecord<T, K>) => R): R[] {
    return Array.from(this, change)
  }

  *[Symbol.iterator](): Generator<ReceivedRecord<T, K>> {
    for (const run of this.#runs) {
      for (let i = run.first; i < run.columns.count; i++) yield this.#record(run, i)
    }
  }

  #record(run: RecordRun, i: number): ReceivedRecord<T, K> {
    return new ReceivedRecord(this.#origin, run.columns, i, run.baseOffset + i, run.timestamp)
  }
}
