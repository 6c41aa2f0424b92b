/** Reads a topic of `millrace bench` from its start, again and again, and looks at every record. */
import { MillraceError } from '@millrace/record'
import { BenchRecordCheck } from './bench-records.ts'
import type { BenchTopic } from './bench-topic.ts'

/** One reading of the topic from its start. */
export interface Pass {
  readonly records: number
  readonly bytes: number
  readonly ms: number
  /** To its first batch. */
  readonly firstMs: number
  /** Cut off when the time was over. */
  readonly whole: boolean
}

export class ReadBench {
  /** Of values; both of all passes, and of the one under way. */
  records = 0
  bytes = 0
  /** Records that `millrace bench` did not append. */
  foreign = 0
  readonly passes: Pass[] = []
  readonly #topic: BenchTopic
  readonly #check = new BenchRecordCheck()

  constructor(topic: BenchTopic) {
    this.#topic = topic
  }

  /** @param durationMs the pass under way is cut off when it is over; 0: one whole pass */
  async run(durationMs: number, signal: AbortSignal): Promise<void> {
    const endMs = durationMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + durationMs
    do {
      const pass = await this.#pass(endMs, signal)
      if (pass.records === 0 && pass.whole)
        throw new MillraceError('INVALID_ARGUMENT', `topic ${this.#topic.name} is empty`)
      this.passes.push(pass)
    } while (durationMs > 0 && performance.now() < endMs && !signal.aborted)
  }

  async #pass(endMs: number, signal: AbortSignal): Promise<Pass> {
    const startedMs = performance.now()
    const before = { records: this.records, bytes: this.bytes }
    let firstMs = 0
    let whole = true
    try {
      for await (const batch of this.#topic.handle.read({ from: 'earliest', signal })) {
        firstMs ||= performance.now() - startedMs
        for (const { value } of batch.records) this.#see(value)
        whole = performance.now() < endMs
        if (!whole) break
      }
    } catch (error) {
      if (!signal.aborted) throw error
      whole = false
    }
    const ms = performance.now() - startedMs
    return { records: this.records - before.records, bytes: this.bytes - before.bytes, ms, firstMs, whole }
  }

  #see(value: Uint8Array | null): void {
    this.records++
    if (value === null) {
      this.foreign++
      return
    }
    this.bytes += value.length
    if (!this.#check.isOwn(value)) this.foreign++
  }
}
