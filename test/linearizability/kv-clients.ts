/** Clients of examples/kv that note down what they did and what they were told. */
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from './random-history.ts'
import type { RegisterAction, RegisterOperation, RegisterValue } from './register-history.ts'

/** Between two operations of one client, so that a history has thousands of them and not more. */
const PAUSE_MS = 8
/** Of writers. A write that is not answered in time is of unknown outcome. */
const WRITE_TIMEOUT_MS = 1_000
/** Of readers: longer than nodes stand still, so that they are answered by those that go on. */
const READ_TIMEOUT_MS = 10_000

export type ReadMode = 'index' | 'lease'

interface Versioned {
  readonly value: RegisterValue
  /** Absent where there is no value. */
  readonly version?: string | undefined
}

/** What was answered; `refused`: nothing was done or read; `unknown`: nobody can tell. */
type Answer =
  | { readonly status: number; readonly text: string; readonly etag?: string | undefined }
  | 'refused'
  | 'unknown'

export class KeyValueClients {
  readonly history: RegisterOperation[] = []
  /** Writes and compare-and-sets that were acknowledged. */
  acknowledged = 0
  /** Answered reads, by mode and node. */
  readonly reads = new Map<string, number>()
  readonly #keys: readonly string[]
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[] = []
  readonly #seed: number
  #failure: Error | undefined
  #finishing = false
  /** Counts calls and returns, in their order. */
  #now = 0

  constructor(keys: readonly string[], seed: number) {
    this.#keys = keys
    this.#seed = seed
  }

  /** @throws Error when a client was answered what it must never be answered */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Reads at one node, in one way, again and again. */
  reader(node: number, url: string, mode: ReadMode): void {
    const client = `reader ${node} ${mode}`
    const random = this.#randomOfClient()
    this.#repeat(async () => {
      if ((await this.read(client, url, oneOf(this.#keys, random), mode)) === undefined) return
      const counted = `${mode} ${node}`
      this.reads.set(counted, (this.reads.get(counted) ?? 0) + 1)
    })
  }

  /** Writes, compares and sets, and removes; at the leader, as far as it is known. */
  writer(name: string, urls: readonly string[]): void {
    const random = this.#randomOfClient()
    let url = oneOf(urls, random)
    this.#repeat(async i => {
      const key = oneOf(this.#keys, random)
      const value = `${name}.${i}`
      const seen = random() < 0.3 ? undefined : await this.read(name, url, key, 'index', WRITE_TIMEOUT_MS)
      const moved =
        seen?.version === undefined
          ? await this.#change(name, url, key, { type: 'write', value: random() < 0.1 ? null : value })
          : await this.#change(name, url, key, { type: 'cas', expected: seen.value, value, done: true }, seen.version)
      if (moved !== undefined) url = moved === '' ? oneOf(urls, random) : moved
    })
  }

  /** Of its own, so that no client draws what another one would have drawn. */
  #randomOfClient(): () => number {
    return seededRandom(this.#seed + this.#loops.length)
  }

  /** @returns what was read; undefined where nothing was */
  async read(
    client: string,
    url: string,
    key: string,
    mode: ReadMode,
    timeoutMs: number = READ_TIMEOUT_MS,
  ): Promise<Versioned | undefined> {
    const calledAt = this.#tick()
    const answer = await this.#ask(`${url}/${key}${mode === 'lease' ? '?lease' : ''}`, {}, timeoutMs)
    if (typeof answer === 'string' || (answer.status !== 200 && answer.status !== 404)) return undefined
    const value = answer.status === 200 ? answer.text : null
    this.history.push({ key, client, action: { type: 'read', value }, calledAt, returnedAt: this.#tick() })
    return { value, version: answer.etag }
  }

  /** Lets each of them finish what it is at; resolves when nothing is under way any more. */
  async finish(): Promise<void> {
    this.#finishing = true
    await Promise.all(this.#loops)
  }

  /** Ends them all; what is under way remains of unknown outcome. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#loops)
  }

  /** @returns undefined: it was answered; else where to go next, empty where that is not known */
  async #change(
    client: string,
    url: string,
    key: string,
    action: Exclude<RegisterAction, { type: 'read' }>,
    version?: string,
  ): Promise<string | undefined> {
    const { value } = action
    const init = {
      ...(value === null ? { method: 'DELETE' } : { method: 'PUT', body: value }),
      ...(version !== undefined && { headers: { 'if-match': version } }),
    }
    const calledAt = this.#tick()
    const answer = await this.#ask(`${url}/${key}`, init, WRITE_TIMEOUT_MS)
    if (answer === 'refused') return ''
    if (answer === 'unknown') {
      this.history.push({ key, client, action, calledAt })
      return ''
    }
    if (answer.status === 307) return new URL(answer.text).origin
    const done = answer.status === 204
    if (!done && !(answer.status === 412 && action.type === 'cas'))
      throw new Error(`${client} was answered ${answer.status}: ${answer.text}`)
    if (done) this.acknowledged += 1
    const told = action.type === 'cas' ? { ...action, done } : action
    this.history.push({ key, client, action: told, calledAt, returnedAt: this.#tick() })
    return undefined
  }

  async #ask(url: string, init: RequestInit, timeoutMs: number): Promise<Answer> {
    try {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(timeoutMs)])
      const response = await fetch(url, { ...init, signal, redirect: 'manual' })
      const { status, headers } = response
      const text = await response.text()
      if (status === 307) return { status, text: headers.get('location')! }
      if (status >= 500) return /^\w+, not_stored:/.test(text) ? 'refused' : 'unknown'
      return { status, text, etag: headers.get('etag') ?? undefined }
    } catch (error) {
      const cause = error instanceof TypeError ? (error.cause as { code?: string } | undefined) : undefined
      return cause?.code === 'ECONNREFUSED' ? 'refused' : 'unknown'
    }
  }

  #repeat(once: (i: number) => Promise<void>): void {
    const loop = async (): Promise<void> => {
      for (let i = 1; !this.#finishing && !this.#stop.signal.aborted; i++) {
        await once(i)
        await sleep(PAUSE_MS)
      }
    }
    this.#loops.push(
      loop().catch((error: unknown) => {
        this.#failure ??= error instanceof Error ? error : new Error(String(error))
      }),
    )
  }

  #tick(): number {
    this.#now += 1
    return this.#now
  }
}

function oneOf<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)]!
}
