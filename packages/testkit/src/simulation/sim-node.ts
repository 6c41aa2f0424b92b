/**
 * One node: a process that takes what has arrived in turns, and a disk per replica that outlives it. While the process is
 * paused the world goes on; when it dies, what waited in its inbox is lost.
 */

import type { Replica } from './replica.ts'
import { traceKind } from './trace-log.ts'
import { note, type World } from './world.ts'

const STARTED = traceKind('node started', 'node')
const CRASHED = traceKind('node crashed', 'node torn')
const PAUSED = traceKind('node paused', 'node untilUs')

export class SimNode {
  readonly id: number
  /** Replicas on this node's disks, by group. */
  readonly replicas: Map<number, Replica> = new Map()
  /** Its clock runs at this rate of true time. */
  readonly clockRate: number
  isUp = false
  /** Counts the starts. */
  incarnation = 0
  readonly #world: World
  #inbox: (() => void)[] = []
  #turnDue = false
  #pausedUntilUs = 0
  #isRetired = false

  constructor(world: World, id: number, clockRate: number) {
    this.#world = world
    this.id = id
    this.clockRate = clockRate
  }

  /** The monotonic clock of the node, in milliseconds. */
  get nowMs(): number {
    return (this.#world.queue.nowUs * this.clockRate) / 1000
  }

  get isPaused(): boolean {
    return this.#pausedUntilUs > this.#world.queue.nowUs
  }

  start(): void {
    if (this.isUp || this.#isRetired) return
    this.isUp = true
    this.incarnation++
    note(this.#world, STARTED, this.id)
    for (const replica of this.replicas.values()) replica.start()
    this.#scheduleTick(this.incarnation)
  }

  /** Goes down and never comes back. */
  retire(): void {
    this.crash(false)
    this.#isRetired = true
  }

  /** The process dies and every disk keeps what it has. */
  crash(torn: boolean): void {
    if (!this.isUp) return
    this.isUp = false
    this.#inbox = []
    this.#pausedUntilUs = 0
    note(this.#world, CRASHED, this.id, torn ? 1 : 0)
    for (const replica of this.replicas.values()) replica.crash(torn)
  }

  /** The process stands still, as under SIGSTOP. */
  pause(untilUs: number): void {
    note(this.#world, PAUSED, this.id, untilUs)
    this.#pausedUntilUs = Math.max(this.#pausedUntilUs, untilUs)
  }

  resume(): void {
    if (!this.isPaused) return
    this.#pausedUntilUs = 0
    this.#scheduleTurn()
  }

  /** Something for the next turn. */
  post(run: () => void): void {
    if (!this.isUp) return
    this.#inbox.push(run)
    if (this.#turnDue) return
    this.#turnDue = true
    this.#scheduleTurn()
  }

  #scheduleTurn(): void {
    const { queue, plan, random } = this.#world
    const { incarnation } = this
    const at = Math.max(queue.nowUs + random.host.int(plan.turnUs + 1), this.#pausedUntilUs)
    queue.at(at, () => this.#turn(incarnation))
  }

  #turn(incarnation: number): void {
    // A turn of a process that died since: the flag belongs to whatever runs now.
    if (!this.isUp || incarnation !== this.incarnation) {
      if (this.#inbox.length === 0) this.#turnDue = false
      else this.#scheduleTurn()
      return
    }
    if (this.isPaused) {
      this.#scheduleTurn()
      return
    }
    this.#turnDue = false
    const inbox = this.#inbox
    this.#inbox = []
    for (const run of inbox) run()
    for (const replica of this.replicas.values()) replica.carryOut()
  }

  #scheduleTick(incarnation: number): void {
    const { queue, plan } = this.#world
    queue.after(Math.round(plan.tickUs / this.clockRate), () => {
      if (!this.isUp || incarnation !== this.incarnation) return
      if (!this.isPaused) this.post(() => this.#tick())
      this.#scheduleTick(incarnation)
    })
  }

  #tick(): void {
    for (const replica of this.replicas.values()) replica.tick()
  }
}
