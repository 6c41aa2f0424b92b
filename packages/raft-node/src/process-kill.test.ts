import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { freePorts } from './testing/free-ports.ts'
import type { NodeReport } from './testing/node-process.ts'
import { until } from './testing/until.ts'

const MAIN = join(import.meta.dirname, 'testing/node-process.ts')

/** Three nodes in processes of their own, and everything that they acknowledged. */
class Processes {
  readonly acknowledged = new Map<string, { readonly index: number; readonly offset: number }>()
  readonly running = new Map<number, ChildProcess>()
  readonly #folder: string
  readonly #ports: readonly number[]
  readonly #entries = new Map<number, readonly string[]>()
  readonly #label: string
  #runs = 0
  /** Reads under the lease, by node. */
  readonly leaseReads: { readonly node: number; readonly count: number; readonly atMs: number }[] = []

  constructor(folder: string, ports: readonly number[], label: string) {
    this.#label = label
    this.#folder = folder
    this.#ports = ports
  }

  start(node: number): void {
    this.#runs++
    const args = [String(node), this.#folder, `${this.#label}${this.#runs}`, ...this.#ports.map(String)]
    const child = fork(MAIN, args, { execArgv: ['--conditions=millrace-source'] })
    child.on('message', (message: NodeReport) => {
      if (message.type === 'entries') this.#entries.set(node, message.entries)
      else if (message.type === 'leaseRead') this.leaseReads.push({ node, ...message })
      else this.acknowledged.set(message.text, message)
    })
    this.running.set(node, child)
  }

  async kill(node: number): Promise<void> {
    const child = this.running.get(node)!
    this.running.delete(node)
    const gone = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  async more(count: number): Promise<void> {
    const target = this.acknowledged.size + count
    await until(`${count} more are acknowledged`, () => this.acknowledged.size >= target)
  }

  /** What every node has applied, once they agree and hold all that was acknowledged. */
  async entries(): Promise<readonly string[]> {
    for (const child of this.running.values()) child.send('stop appending')
    const same = (): boolean => {
      for (const child of this.running.values()) child.send('entries')
      const [first, ...others] = [...this.#entries.values()].map(entries => entries.join())
      return this.#entries.size === this.running.size && others.every(other => other === first)
    }
    await until('all nodes hold the same', () => same() && this.#complete())
    return this.#entries.get(1)!
  }

  /** What was in flight when appending stopped may be acknowledged after a node said what it holds. */
  #complete(): boolean {
    const held = new Set(this.#entries.get(1)?.map(entry => entry.split(':')[1]))
    return [...this.acknowledged.keys()].every(text => held.has(text))
  }
}

const cleanup: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const run of cleanup.splice(0)) await run()
})

async function processes(label = 'run'): Promise<Processes> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-kill-'))
  const p = new Processes(folder, await freePorts(3), label)
  cleanup.push(async () => {
    for (const node of [...p.running.keys()]) await p.kill(node)
    await rm(folder, { recursive: true })
  })
  for (const node of [1, 2, 3]) p.start(node)
  return p
}

function expectAllThere(p: Processes, entries: readonly string[]): void {
  const places = new Map(entries.map((entry, offset) => [entry.split(':')[1]!, { at: entry.split(':')[0]!, offset }]))
  expect(places.size).toBe(entries.length)
  for (const [text, { index, offset }] of p.acknowledged) {
    expect(places.get(text), text).toEqual({ at: String(index), offset })
  }
}

test('all three processes killed while they append, three times: what was acknowledged is there, at its offset', async () => {
  const p = await processes()
  for (let round = 0; round < 3; round++) {
    await p.more(100)
    await Promise.all([1, 2, 3].map(node => p.kill(node)))
    for (const node of [1, 2, 3]) p.start(node)
  }
  await p.more(100)
  expectAllThere(p, await p.entries())
}, 120_000)

test('one process after the other killed while they append: the others go on, nothing is lost', async () => {
  const p = await processes()
  for (const node of [1, 2, 3]) {
    await p.more(100)
    await p.kill(node)
    await p.more(100)
    p.start(node)
  }
  await p.more(100)
  expectAllThere(p, await p.entries())
}, 120_000)

test('lease read after SIGSTOP is refused: a leader that was stopped shows nothing old', async () => {
  const p = await processes('leased')
  for (let round = 0; round < 3; round++) {
    const before = p.leaseReads.length
    await until('the leader reads under its lease', () => p.leaseReads.length > before + 20)
    const { node } = p.leaseReads.at(-1)!
    const child = p.running.get(node)!
    child.kill('SIGSTOP')
    // What it had sent is read first; then another one is elected, and appends.
    const atStop = p.leaseReads.length
    await until('another leader reads', () => p.leaseReads.slice(atStop).some(read => read.node !== node))
    await p.more(50)
    const stored = p.acknowledged.size
    const resumedMs = Date.now()
    child.kill('SIGCONT')
    await p.more(50)
    const late = p.leaseReads.filter(read => read.node === node && read.atMs >= resumedMs)
    expect(late.filter(read => read.count < stored)).toEqual([])
  }
}, 120_000)
