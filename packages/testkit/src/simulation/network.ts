/**
 * The network between nodes as directed links. A link delays, and as far as the seed has it loses, repeats and reorders
 * messages; it can be cut in one direction, with or without the sender hearing of it, or clogged: then everything waits
 * and arrives at once. Messages on their way survive a cut of the link only by luck, as on a real one.
 */
import type { Coverage } from './coverage.ts'
import type { EventQueue } from './event-queue.ts'
import type { NetworkPlan, Plan } from './plan.ts'
import type { RandomStream } from './random-stream.ts'

interface Link {
  /** How many faults keep this link cut at present. */
  cuts: number
  /** How many of them the sender does not hear of. */
  silentCuts: number
  cloggedUntilUs: number
  lastArrivalUs: number
  /** Counts the connections: what was sent on an earlier one does not arrive any more. */
  connection: number
}

export class Network {
  readonly #links: Map<number, Link> = new Map()
  readonly #queue: EventQueue
  readonly #random: RandomStream
  readonly #plan: NetworkPlan
  readonly #faults: Plan['faults']
  readonly #coverage: Coverage
  #calm = false

  constructor(queue: EventQueue, random: RandomStream, plan: Plan, coverage: Coverage) {
    this.#queue = queue
    this.#random = random
    this.#plan = plan.network
    this.#faults = plan.faults
    this.#coverage = coverage
  }

  /** From now on nothing is lost, repeated or reordered, and every cut is mended. */
  heal(): void {
    this.#calm = true
    for (const link of this.#links.values()) {
      link.cuts = 0
      link.silentCuts = 0
      link.cloggedUntilUs = 0
    }
  }

  /**
   * Sends something.
   *
   * @param deliver runs on arrival, once per copy
   * @returns false when the sender learns at once that it cannot reach the other
   */
  send(from: number, to: number, deliver: () => void): boolean {
    const link = this.#link(from, to)
    if (link.cuts > 0) return link.silentCuts > 0
    if (this.#occurs('loss', this.#plan.lossProbability)) return true
    this.#arrive(link, deliver)
    if (this.#occurs('duplication', this.#plan.duplicationProbability)) this.#arrive(link, deliver)
    return true
  }

  /** @param silent the sender does not hear of it */
  cut(from: number, to: number, silent: boolean): void {
    const link = this.#link(from, to)
    link.cuts++
    if (silent) link.silentCuts++
  }

  /** Mends what {@link cut} did. */
  mend(from: number, to: number, silent: boolean): void {
    if (this.#calm) return
    const link = this.#link(from, to)
    link.cuts--
    if (silent) link.silentCuts--
  }

  /** The sender has died: what it had sent is lost on some links, and arrives on others. */
  reset(from: number): void {
    for (const [key, link] of this.#links) {
      if (Math.floor(key / 64) === from && this.#random.chance(0.5)) link.connection++
    }
  }

  /** Holds everything on the link back until a time. */
  clog(from: number, to: number, untilUs: number): void {
    const link = this.#link(from, to)
    link.cloggedUntilUs = Math.max(link.cloggedUntilUs, untilUs)
  }

  #arrive(link: Link, deliver: () => void): void {
    const { delayLeastUs, delayMostUs } = this.#plan
    let at = this.#queue.nowUs + this.#random.between(delayLeastUs, delayMostUs)
    if (this.#occurs('reordering', this.#plan.reorderingProbability)) {
      at += this.#random.int(delayMostUs * 20)
    } else {
      at = Math.max(at, link.lastArrivalUs, link.cloggedUntilUs)
      link.lastArrivalUs = at
    }
    const { connection } = link
    this.#queue.at(at, () => {
      if (link.connection !== connection) return
      // Half of what is under way when a link is cut is lost with it.
      if (link.cuts === 0 || this.#random.chance(0.5)) deliver()
    })
  }

  #occurs(fault: 'loss' | 'duplication' | 'reordering', probability: number): boolean {
    if (this.#calm || !this.#faults.has(fault) || !this.#random.chance(probability)) return false
    this.#coverage.hit(fault)
    return true
  }

  #link(from: number, to: number): Link {
    const key = from * 64 + to
    let link = this.#links.get(key)
    if (link === undefined) {
      link = { cuts: 0, silentCuts: 0, cloggedUntilUs: 0, lastArrivalUs: 0, connection: 0 }
      this.#links.set(key, link)
    }
    return link
  }
}
