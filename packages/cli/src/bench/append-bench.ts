/**
 * Appends for a while, and looks afterwards whether what was acknowledged is there: by the offsets of the topic, and where it is
 * asked for by reading everything back.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { MillraceError } from '@millrace/record'
import { failedBatch } from '../append/failed-batch.ts'
import { CliError } from '../cli-error.ts'
import { waitFor } from '../process/wait-for.ts'
import { benchRecords } from './bench-records.ts'
import type { BenchTopic } from './bench-topic.ts'
import { type Caller, type Clock, carryLoad, type Load, Tally } from './load.ts'
import { describeFaults, SequenceCheck, type StampedRecords } from './stamped-records.ts'

export interface AppendPlan extends Load {
  readonly recordBytes: number
  /** Of the same load before anything is measured. */
  readonly warmUpMs: number
}

/** What the offsets of the topic say about a run. */
export interface Stored {
  /** Acknowledged, warm-up included. */
  readonly acknowledged: number
  /** May be stored or not. */
  readonly unknown: number
  readonly stored: number
}

/** The clock of this process. */
export const CLOCK: Clock = {
  now: () => performance.now(),
  // An abort is what ends the wait early, and no failure.
  sleep: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined),
}

/** What a record of somebody else may have instead of a value. */
const NO_VALUE = new Uint8Array(0)
/** How long the node that is asked for offsets may be behind the leader. */
const FOLLOWER_LAG_MS = 5_000

export class AppendBench implements Caller {
  /** Of the measured part. */
  readonly tally: Tally = new Tally()
  readonly records: StampedRecords
  readonly #plan: AppendPlan
  readonly #topic: BenchTopic
  readonly #warmUp = new Tally()
  #isMeasuring = false
  /** Told of each record before it is sent, by its number. */
  readonly #onSend: (sequence: number, dueMs: number) => void

  constructor(
    topic: BenchTopic,
    plan: AppendPlan,
    onSend: (sequence: number, dueMs: number) => void = () => undefined,
  ) {
    this.#topic = topic
    this.#plan = plan
    this.#onSend = onSend
    this.records = benchRecords(plan.recordBytes)
  }

  /** Whether the warm-up is over. */
  get isMeasuring(): boolean {
    return this.#isMeasuring
  }

  /** Counts of what goes on now: the warm-up, or what is measured. */
  get current(): Tally {
    return this.#isMeasuring ? this.tally : this.#warmUp
  }

  /** Number of the first record that is measured, when the warm-up is over. */
  get firstMeasured(): number {
    return this.#warmUp.calls * this.#plan.callRecords
  }

  async run(signal: AbortSignal): Promise<void> {
    const { warmUpMs } = this.#plan
    const warmUp = { ...this.#plan, durationMs: warmUpMs }
    if (warmUpMs > 0) await carryLoad(warmUp, this, this.#warmUp, CLOCK, signal)
    this.#isMeasuring = true
    if (!signal.aborted) await carryLoad(this.#plan, this, this.tally, CLOCK, signal)
  }

  send(call: number, dueMs: number): Promise<unknown> {
    const { callRecords } = this.#plan
    const overall = this.#isMeasuring ? this.#warmUp.calls + call : call
    const partition = overall % this.#topic.ranges.length
    const inputs = Array.from({ length: callRecords }, (_, at) => {
      const sequence = overall * callRecords + at
      this.#onSend(sequence, dueMs)
      return { value: this.records.make(sequence), partition }
    })
    const { handle } = this.#topic
    return callRecords === 1 ? handle.append(inputs[0]!) : handle.appendMany(inputs)
  }

  outcomeOf(error: unknown): ReturnType<typeof failedBatch> {
    return failedBatch(error, this.#plan.callRecords)
  }

  /** Compares the offsets with what was acknowledged. */
  async stored(): Promise<Stored> {
    const both = [this.#warmUp, this.tally]
    const acknowledged = both.reduce((sum, tally) => sum + tally.acknowledged, 0)
    const unknown = both.reduce((sum, tally) => sum + tally.unknown, 0)
    const before = this.#topic.ranges.reduce((sum, { end }) => sum + end, 0)
    let stored = 0
    const enough = async (): Promise<boolean> => {
      stored = (await this.#topic.rangesNow()).reduce((sum, { end }) => sum + end, 0) - before
      return stored >= acknowledged
    }
    try {
      await waitFor(enough, { what: 'all acknowledged records to be there', timeoutMs: FOLLOWER_LAG_MS })
    } catch (error) {
      // That they are not there is what the result says.
      if (!(error instanceof CliError)) throw error
    }
    return { acknowledged, unknown, stored }
  }

  /** Reads back what this run appended. @returns `ok`, or what is wrong */
  async check(signal: AbortSignal, onProgress: (records: number) => void): Promise<string> {
    const { callRecords } = this.#plan
    const warmCalls = this.#warmUp.calls
    const isAcknowledged = (sequence: number): boolean => {
      const call = Math.floor(sequence / callRecords)
      return call < warmCalls ? !this.#warmUp.failedCalls.has(call) : !this.tally.failedCalls.has(call - warmCalls)
    }
    const check = new SequenceCheck(this.records, (warmCalls + this.tally.calls) * callRecords, isAcknowledged)
    try {
      for (const { partition, end } of this.#topic.ranges) {
        for await (const batch of this.#topic.handle.read({ from: { partition, offset: end }, signal })) {
          for (const record of batch.records) check.see(partition, record.value ?? NO_VALUE)
          onProgress(check.total)
        }
      }
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'OFFSET_OUT_OF_RANGE')
        return 'not checked: the retention of the topic has removed records meanwhile'
      throw error
    }
    return describeFaults(check.faults())
  }
}
