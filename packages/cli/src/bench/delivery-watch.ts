/**
 * Follows the topic of a run and measures, in one process and with one clock, from when each record was due to its arrival.
 * Holds the times of records that are not there yet, and of no others.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { MillraceError } from '@millrace/record'
import type { BenchTopic } from './bench-topic.ts'
import { Histogram } from './histogram.ts'
import type { StampedRecords } from './stamped-records.ts'

/** How long records may take to arrive after the last acknowledgement. */
const ARRIVAL_MS = 5_000

export class DeliveryWatch {
  readonly latencies: Histogram = new Histogram()
  readonly #dueMs = new Map<number, number>()
  /** Records before it are of the warm-up. */
  #firstMeasured = Number.POSITIVE_INFINITY
  #failure: unknown

  expect(sequence: number, dueMs: number): void {
    this.#dueMs.set(sequence, dueMs)
  }

  measureFrom(sequence: number): void {
    this.#firstMeasured = sequence
  }

  /** What was never acknowledged need not arrive. */
  forget(sequence: number): void {
    this.#dueMs.delete(sequence)
  }

  /** Ends with the signal. The topic has one partition. */
  async follow(topic: BenchTopic, records: StampedRecords, signal: AbortSignal): Promise<void> {
    const [range] = topic.ranges
    const from = { partition: 0, offset: range!.end }
    try {
      for await (const batch of topic.handle.read({ from, live: true, signal }))
        for (const { value } of batch.records) this.#see(value === null ? undefined : records.sequenceOf(value))
    } catch (error) {
      const isEnd = error instanceof MillraceError && error.code === 'CANCELLED'
      if (!isEnd) this.#failure = error
    }
  }

  /** Waits for what has not arrived. @returns the number of measured records that never did; they count with their age */
  async missing(signal: AbortSignal): Promise<number> {
    const deadlineMs = performance.now() + ARRIVAL_MS
    while (this.#dueMs.size > 0 && performance.now() < deadlineMs && !signal.aborted && this.#failure === undefined)
      await sleep(10)
    if (this.#failure !== undefined) throw this.#failure
    let missing = 0
    for (const [sequence, dueMs] of this.#dueMs) {
      if (sequence < this.#firstMeasured) continue
      missing++
      this.latencies.record(performance.now() - dueMs)
    }
    return missing
  }

  #see(sequence: number | undefined): void {
    const dueMs = sequence === undefined ? undefined : this.#dueMs.get(sequence)
    if (sequence === undefined || dueMs === undefined) return
    this.#dueMs.delete(sequence)
    if (sequence >= this.#firstMeasured) this.latencies.record(performance.now() - dueMs)
  }
}
