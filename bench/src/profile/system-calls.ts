/** System calls of running processes, counted by strace from outside. It slows them down a lot: for counts, never for times. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onPath } from '../peers/server-process.ts'

/** Calls by name; with the threads of the process. */
export type SystemCalls = ReadonlyMap<string, number>

/** Why system calls are not counted here; undefined where they can be. */
export function whyNoSystemCalls(): string | undefined {
  return onPath('strace') ? undefined : 'strace is not installed'
}

export class SystemCallCount {
  readonly #child: ChildProcess
  readonly #folder: string

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child
    this.#folder = folder
  }

  /** Resolves when strace has attached to the process. @throws Error with its words where it may not */
  static async start(pid: number): Promise<SystemCallCount> {
    const folder = mkdtempSync(join(tmpdir(), 'strace-'))
    const child = spawn('strace', ['-c', '-f', '-o', join(folder, 'counts'), '-p', String(pid)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const count = new SystemCallCount(child, folder)
    const said: string[] = []
    for await (const line of createInterface({ input: child.stderr! })) {
      said.push(line)
      if (/attached/.test(line)) return count
    }
    count.#remove()
    throw new Error(`strace cannot attach to process ${pid}: ${said.join('; ')}`)
  }

  /** Lets the process go. */
  async end(): Promise<SystemCalls> {
    this.#child.stderr?.resume()
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGINT')
    await ended
    const counts = parseCounts(readFileSync(join(this.#folder, 'counts'), 'utf8'))
    this.#remove()
    return counts
  }

  #remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** The table of `strace -c`: `% time  seconds  usecs/call  calls  [errors]  syscall`. */
export function parseCounts(table: string): SystemCalls {
  const counts = new Map<string, number>()
  for (const line of table.split('\n')) {
    const match = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$/.exec(line)
    if (match !== null && match[2] !== 'total') counts.set(match[2]!, Number(match[1]))
  }
  return counts
}
