/**
 * Calls, one after the other or at a fixed rate, with a bounded number under way; and what became of them. At a rate each call
 * has a time at which it is due, and its latency counts from there, whatever has become of those before: a system that stalls
 * pays for all that became due meanwhile, also for what waits here for a place. Nothing is held for a call that is not sent yet.
 */
import type { FailedBatch } from '../append/append-stream.ts'
import { Histogram } from './histogram.ts'

export interface Load {
  /** Of one call. */
  readonly callRecords: number
  readonly callsInFlight: number
  /** Calls begin, or are due, within this time. */
  readonly durationMs: number
  /** Ends earlier when so many records are sent. */
  readonly recordsMax: number
  /** Records that become due each second, evenly. Absent: a call begins when there is a place for it. */
  readonly ratePerSecond?: number | undefined
}

/** Milliseconds from any origin, and a way to wait. */
export interface Clock {
  now(): number
  /** Returns early when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<unknown>
}

/** What one call does. */
export interface Caller {
  /**
   * @param call from 0, in this order
   * @param dueMs by the clock of the load
   */
  send(call: number, dueMs: number): Promise<unknown>
  /** What is known of the records of a call that failed. */
  outcomeOf(error: unknown): FailedBatch
}

/** How long what became due may wait for a place after the time is over. */
const LATE_MS = 5_000
/** A call that failed keeps its place for so long: one that fails at once must not be tried without end. */
const AFTER_FAILURE_MS = 100

/** Counts of a load, which may be read while it goes on. */
export class Tally {
  /** From when a call was due to its acknowledgement; of calls that were never sent, to the end. */
  readonly latencies: Histogram = new Histogram()
  /** Calls begun. */
  calls = 0
  /** Calls of which not all records are acknowledged. */
  readonly failedCalls: Set<number> = new Set()
  /** Records, as all that follows. */
  acknowledged = 0
  notStored = 0
  unknown = 0
  /** Were due at the rate, and found no place in time. */
  unsent = 0
  /** The first failure. */
  error: unknown
  /** From the beginning to the last answer. */
  ms = 0
}

/** Resolves when the load is over and every call has ended, well or not. An abort ends it early, and is no failure. */
export async function carryLoad(
  load: Load,
  caller: Caller,
  tally: Tally,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await new LoadRun(load, caller, tally, clock, signal).run()
}

class LoadRun {
  readonly #load: Load
  readonly #caller: Caller
  readonly #tally: Tally
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #startedMs: number
  #inFlight = 0
  #wake: (() => void) | undefined

  constructor(load: Load, caller: Caller, tally: Tally, clock: Clock, signal: AbortSignal) {
    this.#load = load
    this.#caller = caller
    this.#tally = tally
    this.#clock = clock
    this.#signal = signal
    this.#startedMs = clock.now()
  }

  async run(): Promise<void> {
    const callsMax = this.#callsMax()
    const wake = (): void => this.#wake?.()
    this.#signal.addEventListener('abort', wake)
    while (this.#tally.calls < callsMax) {
      const dueMs = await this.#turn()
      if (dueMs === undefined) break
      this.#begin(dueMs)
    }
    this.#countUnsent(callsMax)
    while (this.#inFlight > 0) await this.#settled()
    this.#signal.removeEventListener('abort', wake)
    this.#tally.ms = this.#clock.now() - this.#startedMs
  }

  /** Calls that there can be; at a rate, those that become due. */
  #callsMax(): number {
    const { recordsMax, callRecords, ratePerSecond, durationMs } = this.#load
    const due = ratePerSecond === undefined ? recordsMax : Math.ceil((durationMs * ratePerSecond) / 1_000)
    return Math.floor(Math.min(recordsMax, Math.max(due, callRecords)) / callRecords)
  }

  /** Waits until the next call is due and has a place; says when it was due, or nothing when there is to be none. */
  async #turn(): Promise<number | undefined> {
    const { ratePerSecond, callRecords, callsInFlight, durationMs } = this.#load
    if (ratePerSecond === undefined) {
      while (this.#inFlight >= callsInFlight && !this.#signal.aborted) await this.#settled()
      const nowMs = this.#clock.now()
      return this.#signal.aborted || nowMs - this.#startedMs >= durationMs ? undefined : nowMs
    }
    const dueMs = this.#startedMs + (this.#tally.calls * callRecords * 1_000) / ratePerSecond
    // Timers may be early by a part of a millisecond; a call never is.
    for (let waitMs = dueMs - this.#clock.now(); waitMs > 0; waitMs = dueMs - this.#clock.now()) {
      await this.#clock.sleep(Math.max(1, waitMs), this.#signal)
      if (this.#signal.aborted) return undefined
    }
    while (this.#inFlight >= callsInFlight && !this.#signal.aborted) await this.#settled()
    const isLate = this.#clock.now() - this.#startedMs > durationMs + LATE_MS
    return this.#signal.aborted || isLate ? undefined : dueMs
  }

  #begin(dueMs: number): void {
    const tally = this.#tally
    const call = tally.calls++
    this.#inFlight++
    this.#caller.send(call, dueMs).then(
      () => {
        tally.acknowledged += this.#load.callRecords
        tally.latencies.record(this.#clock.now() - dueMs)
        this.#end()
      },
      async error => {
        const { stored, not_stored: notStored, unknown } = this.#caller.outcomeOf(error)
        tally.error ??= error
        tally.failedCalls.add(call)
        tally.acknowledged += stored
        tally.notStored += notStored
        tally.unknown += unknown
        await this.#clock.sleep(AFTER_FAILURE_MS, this.#signal)
        this.#end()
      },
    )
  }

  #end(): void {
    this.#inFlight--
    this.#wake?.()
  }

  /** Resolves when a call ends or the signal aborts. */
  #settled(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }

  /** What was due and never sent has waited until now: it counts with its age. */
  #countUnsent(callsMax: number): void {
    const { ratePerSecond, callRecords } = this.#load
    if (ratePerSecond === undefined || this.#signal.aborted) return
    const nowMs = this.#clock.now()
    for (let call = this.#tally.calls; call < callsMax; call++) {
      this.#tally.latencies.record(nowMs - this.#startedMs - (call * callRecords * 1_000) / ratePerSecond)
      this.#tally.unsent += callRecords
    }
  }
}
