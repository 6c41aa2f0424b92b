/**
 * One node: a process that takes what has arrived in turns, and a disk that outlives it, with the logs of all replicas
 * of the node in one store. While the process is paused the world goes on; when it dies, what waited in its inbox is lost.
 */
import { LogError, type LogStore, openSegmentedLogStore } from '@millrace/log-store'
import { Violation } from './invariants/violation.ts'
import { recordOf } from './log-image.ts'
import { type Ending, NodeDisk } from './node-disk.ts'
import type { Replica } from './replica.ts'
import { SimProcess } from './sim-process.ts'
import { traceKind } from './trace-log.ts'
import { type NodeHost, note, type World } from './world.ts'

const STARTED = traceKind('node started', 'node')
const OPENED = traceKind('node opened its log', 'node groups')
const CRASHED = traceKind('node crashed', 'node ending')
const PAUSED = traceKind('node paused', 'node untilUs')
const ENDINGS: readonly Ending[] = ['killed', 'powerLost', 'powerLostTearing']

const DIR = 'log'
const BIRTH_RETRY_US = 100_000

export class SimNode {
  readonly id: number
  /** Replicas on this node's disk, by group. */
  readonly replicas: Map<number, Replica> = new Map()
  /** Its clock runs at this rate of true time. */
  readonly clockRate: number
  disk: NodeDisk
  isUp = false
  /** Counts the starts. */
  incarnation = 0
  readonly #world: World
  #process: SimProcess
  #store: LogStore | undefined
  #host: NodeHost | undefined
  /** The work on the store's groups that is under way: one after the other. */
  #reconciling: Promise<void> = Promise.resolve()
  #inbox: (() => void)[] = []
  #turnDue = false
  #pausedUntilUs = 0
  #isRetired = false
  #isStopping = false

  constructor(world: World, id: number, clockRate: number) {
    this.#world = world
    this.id = id
    this.clockRate = clockRate
    this.disk = new NodeDisk(world)
    this.#process = new SimProcess(world, clockRate)
  }

  /** The monotonic clock of the node, in milliseconds. */
  get nowMs(): number {
    return this.#process.nowMs
  }

  get wallMs(): number {
    return this.#process.clock.wallMs()
  }

  get isPaused(): boolean {
    return this.#pausedUntilUs > this.#world.queue.nowUs
  }

  get host(): NodeHost | undefined {
    return this.#host
  }

  /** It runs, and nobody has asked it to stop. */
  get isServing(): boolean {
    return this.isUp && !this.#isStopping
  }

  start(): void {
    if (this.isUp || this.#isRetired) return
    this.isUp = true
    this.incarnation++
    this.#process = new SimProcess(this.#world, this.clockRate)
    this.#reconciling = Promise.resolve()
    note(this.#world, STARTED, this.id)
    const process = this.#process
    this.#openStore(process).catch((error: unknown) => this.#failed(process, error))
    this.#scheduleTick(process)
  }

  /** Goes down and never comes back. */
  retire(): void {
    this.crash('killed')
    this.#isRetired = true
  }

  /** The process dies. */
  crash(ending: Ending): void {
    if (!this.isUp) return
    note(this.#world, CRASHED, this.id, ENDINGS.indexOf(ending))
    this.#process.end()
    this.#host?.ended()
    this.#host = undefined
    this.isUp = false
    this.#isStopping = false
    this.#store = undefined
    this.#inbox = []
    this.#turnDue = false
    this.#pausedUntilUs = 0
    this.disk.detach(ending)
    for (const replica of this.replicas.values()) replica.crash()
  }

  /**
   * Ends the process in good order, which takes its time.
   *
   * @param then called once it has ended, unless it has died on the way
   */
  stop(then: () => void): void {
    const store = this.#store
    if (store === undefined || this.#isStopping) return
    this.#isStopping = true
    const process = this.#process
    const close = async (): Promise<void> => {
      await this.#reconciling
      await this.#host?.shutdown()
      for (const replica of this.replicas.values()) replica.crash()
      await store.close()
      process.after(0, () => {
        this.crash('killed')
        then()
      })
    }
    close().catch((error: unknown) => this.#failed(process, error))
  }

  /** The disk and everything on it is gone; a node that is up dies with it. */
  replaceDisk(): void {
    this.crash('powerLost')
    this.disk = new NodeDisk(this.#world)
  }

  /** Makes the store hold just the replicas of this node, and starts those that do not run. */
  reconcile(): void {
    const store = this.#store
    if (store === undefined || !this.isServing) return
    const process = this.#process
    this.#reconciling = this.#reconciling.then(() => this.#reconcile(process, store))
    this.#reconciling.catch((error: unknown) => this.#failed(process, error))
  }

  /** The process stands still, as under SIGSTOP. */
  pause(untilUs: number): void {
    note(this.#world, PAUSED, this.id, untilUs)
    this.#pausedUntilUs = Math.max(this.#pausedUntilUs, untilUs)
    const process = this.#process
    process.pause()
    this.#world.queue.at(untilUs, () => {
      if (!this.isPaused) process.resume()
    })
  }

  resume(): void {
    this.#pausedUntilUs = 0
    this.#process.resume()
  }

  /** Something for the next turn. */
  post(run: () => void): void {
    if (!this.isUp) return
    this.#inbox.push(run)
    if (this.#turnDue) return
    this.#turnDue = true
    const { plan, random } = this.#world
    this.#process.after(random.host.int(plan.turnUs + 1), () => this.#turn())
  }

  #turn(): void {
    this.#turnDue = false
    const inbox = this.#inbox
    this.#inbox = []
    for (const run of inbox) run()
    for (const replica of this.replicas.values()) replica.carryOut()
  }

  #scheduleTick(process: SimProcess): void {
    const { queue, plan } = this.#world
    // Ticks that a paused process missed are not made up for.
    queue.after(Math.round(plan.tickUs / this.clockRate), () => {
      if (!process.isAlive) return
      if (!this.isPaused) this.post(() => this.#tick())
      this.#scheduleTick(process)
    })
  }

  #tick(): void {
    for (const replica of this.replicas.values()) if (replica.isRunning) replica.tick()
  }

  async #openStore(process: SimProcess): Promise<void> {
    const { plan, random } = this.#world
    const store = await openSegmentedLogStore({
      dir: DIR,
      disk: this.disk.attach(process),
      clock: process.clock,
      random: bytes => {
        for (let i = 0; i < bytes.length; i++) bytes[i] = random.disk.int(256)
      },
      ...plan.store,
      onFatal: () => this.#failStop(process),
      onProblem: problem => {
        if (problem instanceof LogError && problem.code === 'DAMAGED') process.after(0, () => this.reconcile())
      },
    })
    this.#host = await this.#world.hosting?.start(this, process, store)
    if (!process.isAlive) return
    this.#store = store
    this.disk.hasFlip = false
    note(this.#world, OPENED, this.id, store.groups().length)
    this.reconcile()
  }

  async #reconcile(process: SimProcess, store: LogStore): Promise<void> {
    for (const { group, reason } of store.refused()) {
      this.replicas.get(group)?.lose(reason)
      await store.drop(group)
    }
    for (const log of store.groups()) {
      if (this.replicas.get(log.group)?.id === log.recovered.replicaId) continue
      await store.drop(log.group)
    }
    for (const replica of [...this.replicas.values()]) {
      if (replica.isRunning || !process.isAlive || !this.isServing) continue
      const { disk, group } = replica
      if (!disk.isBorn && !(await this.#bear(process, store, replica))) continue
      const log = store.groups().find(candidate => candidate.group === group.id)
      if (log === undefined) throw new Violation('what was acknowledged survives', `${replica.name}: its log is gone`)
      // Whatever the replica does first belongs into an event of its own.
      if (await replica.read(log)) process.after(0, () => replica.start(log))
    }
  }

  /** @returns false where the disk would not: nothing was promised, and it is tried again */
  async #bear(process: SimProcess, store: LogStore, { id, group, disk }: Replica): Promise<boolean> {
    if (store.groups().some(log => log.group === group.id)) return true
    try {
      await store.create(group.id, { replicaId: id, base: recordOf(disk.durable.base) })
      return true
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'ENOSPC' && code !== 'EIO') throw error
      process.after(BIRTH_RETRY_US, () => this.reconcile())
      return false
    }
  }

  /** Storage has failed: a process that cannot know what is durable ends. */
  #failStop(process: SimProcess): void {
    process.after(0, () => {
      this.crash('killed')
      this.#world.queue.after(this.#world.random.host.int(1_000_000), () => this.start())
    })
  }

  #failed(process: SimProcess, error: unknown): void {
    if (!process.isAlive) return
    // The store has said so by `onFatal`, and the process is about to end.
    if (error instanceof LogError && error.code === 'IO' && !(error.cause instanceof Violation)) return
    this.#world.fail(error)
  }
}
