/** What the disk under all systems does by itself in the same run: 4 KiB written and synced, again and again. */
import * as fs from 'node:fs'
import { Histogram, type Latency } from '@millrace/cli/bench'

const BLOCK = Buffer.alloc(4_096, 97)

export class DiskProbe {
  readonly #fd: number
  readonly #latencies = new Histogram()
  #end = 0

  /** @param path of a file that nobody else uses */
  constructor(path: string) {
    this.#fd = fs.openSync(path, 'w')
  }

  measure(writes: number): void {
    for (let i = 0; i < writes; i++) {
      const startedMs = performance.now()
      this.#end += fs.writeSync(this.#fd, BLOCK, 0, BLOCK.length, this.#end)
      fs.fdatasyncSync(this.#fd)
      this.#latencies.record(performance.now() - startedMs)
    }
  }

  get latency(): Latency {
    return this.#latencies.summary()
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#fd)
  }
}
