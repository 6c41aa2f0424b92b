/** Writes to a group without end, by whoever leads, and remembers what was acknowledged: for tests of changes under load. */
import type { Clock } from '../node.ts'
import { systemClock } from '../system-clock.ts'
import type { TestCluster } from './test-cluster.ts'
import { propose } from './test-cluster.ts'

const IN_FLIGHT_MAX = 16

export class Load {
  readonly #cluster: TestCluster
  readonly #clock: Clock
  readonly #acknowledged = new Set<string>()
  /** May be stored or not. */
  readonly #unknown = new Set<string>()
  #open = 0
  #sent = 0
  #stopped = false
  #lastMs: number
  /** The longest time without an acknowledgement, ms. */
  gapMs = 0

  constructor(cluster: TestCluster, clock: Clock = systemClock) {
    this.#cluster = cluster
    this.#clock = clock
    this.#lastMs = clock.monotonicMs()
    this.#more()
  }

  get acknowledged(): number {
    return this.#acknowledged.size
  }

  /** Stops; resolves when every proposal has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    while (this.#open > 0) await new Promise(resolve => setTimeout(resolve, 2))
  }

  /**
   * Every acknowledged entry is there once, and nothing else but what nobody could tell of.
   *
   * @param entries of a machine, `index:text`
   */
  check(entries: readonly string[]): void {
    const texts = entries.map(entry => entry.slice(entry.indexOf(':') + 1))
    const stored = new Set(texts)
    if (stored.size !== texts.length) throw new Error(`${texts.length - stored.size} entries are there more than once`)
    const lost = [...this.#acknowledged].filter(text => !stored.has(text))
    if (lost.length > 0) throw new Error(`${lost.length} acknowledged entries are lost: ${lost.slice(0, 5).join()}`)
    const foreign = texts.filter(text => !this.#acknowledged.has(text) && !this.#unknown.has(text))
    if (foreign.length > 0) throw new Error(`${foreign.slice(0, 5).join()} were refused, and are there`)
  }

  #more(): void {
    if (this.#stopped) return
    const leader = this.#cluster.leaderOf()
    while (leader !== 0 && this.#open < IN_FLIGHT_MAX && this.#one(leader));
    this.#clock.setTimer(2, () => this.#more())
  }

  /** @returns false where it was not taken */
  #one(leader: number): boolean {
    const text = `load ${this.#sent++}`
    const proposal = propose(this.#cluster.handle(leader), text)
    if (proposal.result.type === 'dropped') return false
    this.#open += 1
    proposal.settled = () => {
      this.#open -= 1
      if (proposal.ending?.type === 'unknown') this.#unknown.add(text)
      if (proposal.ending?.type !== 'applied') return
      this.#acknowledged.add(text)
      const nowMs = this.#clock.monotonicMs()
      this.gapMs = Math.max(this.gapMs, nowMs - this.#lastMs)
      this.#lastMs = nowMs
    }
    return true
  }
}
