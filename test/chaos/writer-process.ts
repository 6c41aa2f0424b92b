/** A running writer.ts, and what it has said so far. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const WRITER: string = new URL('./writer.ts', import.meta.url).pathname
const WAIT_MS = 60_000

/** The newest state that a writer was told is durable. */
export interface Acknowledged {
  readonly index: number
  readonly term: number
  readonly base: number
}

export const NOTHING_ACKNOWLEDGED: Acknowledged = { index: 1, term: 0, base: 1 }

export interface WriterOptions {
  readonly dir: string
  readonly before: Acknowledged
  readonly diskReserveBytes?: number
  /** Turns before it stops in order. Default: never. */
  readonly stopAfter?: number
  /** What `strace -e` injects, with one thread in the pool so that calls are counted by `when=`. */
  readonly inject?: string
}

export class WriterProcess {
  readonly lines: string[] = []
  acknowledged: Acknowledged
  readonly #history: { readonly atNs: number; readonly acknowledged: Acknowledged }[] = []
  /** The longest time between two acknowledgements. */
  longestGapMs = 0
  readonly #child: ChildProcess
  readonly #exit: Promise<unknown>
  #newestMs: number | undefined
  #running = true

  constructor(options: WriterOptions) {
    const { dir, before, diskReserveBytes = 0, stopAfter = 1_000_000, inject } = options
    this.acknowledged = before
    this.#history.push({ atNs: 0, acknowledged: before })
    const node = ['--conditions=millrace-source', WRITER, dir, String(diskReserveBytes), String(stopAfter)]
    const strace = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', `inject=fdatasync:${inject}`]
    this.#child =
      inject === undefined
        ? spawn(process.execPath, node, { stdio: ['ignore', 'pipe', 'inherit'] })
        : spawn('strace', [...strace, process.execPath, ...node], {
            stdio: ['ignore', 'pipe', 'inherit'],
            env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
          })
    this.#exit = once(this.#child, 'exit').then(() => {
      this.#running = false
    })
    createInterface({ input: this.#child.stdout! }).on('line', line => this.#take(line))
  }

  /** Waits for a line that starts so. @throws when the process ends or falls silent before */
  async said(start: string): Promise<string> {
    return this.#until(`a line "${start}"`, () => this.lines.find(line => line.startsWith(start)))
  }

  /** Waits for `count` more entries to be acknowledged. */
  async advancedBy(count: number): Promise<void> {
    const goal = this.acknowledged.index + count
    await this.#until(`entry ${goal}`, () => (this.acknowledged.index >= goal ? 'reached' : undefined))
  }

  /** What it had been told before a moment on the clock of `process.hrtime`, ns. */
  acknowledgedBefore(atNs: number): Acknowledged {
    return this.#history.findLast(entry => entry.atNs < atNs)!.acknowledged
  }

  /** Waits for the process to end by itself. */
  async ended(): Promise<void> {
    await this.#until('its end', () => (this.#running ? undefined : 'ended'), true)
  }

  /** Kills it, as a kernel would, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#running) this.#child.kill('SIGKILL')
    await this.#exit
  }

  #take(line: string): void {
    this.lines.push(line)
    if (!line.startsWith('acked ')) return
    const [, index, term, base, atNs] = line.split(' ').map(Number)
    this.acknowledged = { index: index!, term: Math.max(term!, this.acknowledged.term), base: base! }
    this.#history.push({ atNs: atNs!, acknowledged: this.acknowledged })
    const now = performance.now()
    if (this.#newestMs !== undefined) this.longestGapMs = Math.max(this.longestGapMs, now - this.#newestMs)
    this.#newestMs = now
  }

  async #until(what: string, reached: () => string | undefined, mayEnd = false): Promise<string> {
    const deadline = performance.now() + WAIT_MS
    for (;;) {
      const found = reached()
      if (found !== undefined) return found
      const told = this.lines.slice(-3).join(' | ')
      if (!this.#running && !mayEnd) throw new Error(`the writer ended before ${what}; it said: ${told}`)
      if (performance.now() > deadline) throw new Error(`no ${what} within ${WAIT_MS / 1_000} s; it said: ${told}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}
