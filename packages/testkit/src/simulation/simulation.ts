/**
 * One run: a cluster, its clients, its operator and everything that goes wrong, from one schedule. A safety phase, in which
 * anything may happen, then a liveness phase, in which everything must complete. Equal schedules give equal runs.
 */
import { Coverage, type CoverageCounts } from './coverage.ts'
import { EventQueue } from './event-queue.ts'
import { RaftNodeHosting } from './host/hosting.ts'
import { Violation } from './invariants/violation.ts'
import { inMacrotasks } from './macrotasks.ts'
import { Operator } from './membership.ts'
import { Network } from './network.ts'
import { type Plan, planOf, type Schedule } from './plan.ts'
import { RandomStream } from './random-stream.ts'
import { heal, Settling } from './settling.ts'
import { SimGroup } from './sim-group.ts'
import { SimNode } from './sim-node.ts'
import { type Scene, startFaults, strikeNewLeader } from './timed-faults.ts'
import { TraceLog } from './trace-log.ts'
import { startWorkload } from './workload.ts'
import type { World } from './world.ts'

export interface Failure {
  /** Name of the invariant. */
  readonly invariant: string
  readonly message: string
  /** The newest events before it, oldest first. */
  readonly events: readonly string[]
}

export interface RunResult {
  readonly schedule: Schedule
  /** Hash over everything that happened. */
  readonly hash: string
  readonly events: number
  readonly committed: number
  readonly acknowledged: number
  /** From the end of the faults until every group had settled, in election timeouts. */
  readonly settledAfter: number
  /** The same until every group had acknowledged a proposal and confirmed a read. */
  readonly servedAfter: number
  readonly coverage: CoverageCounts
  readonly failure?: Failure
}

/** Events that a failure shows. */
const EVENTS_KEPT = 200
/** Election timeouts without any progress after which a group counts as stuck, and altogether. */
const STUCK_AFTER = 100
const SETTLED_WITHIN = 5_000
/**
 * Shortest election timeouts within which clients are served again, where the seed's settings have room for that: two of
 * the longest, which are twice as long. A first round of votes may be split or come too early.
 */
const SERVED_WITHIN = 4
/** A store that found no space looks again after this time at the latest. */
const SPACE_BACKOFF_US = 1_000_000
/** How often clients try in an election timeout. */
const PUSHES = 5

/**
 * Runs a schedule to its end or to its first violation.
 *
 * @param sink hears every event as a line of text
 */
export function simulate(schedule: Schedule, sink?: (line: string) => void): Promise<RunResult> {
  return new Simulation(schedule, sink).run()
}

class Simulation {
  readonly #schedule: Schedule
  readonly #plan: Plan
  readonly #world: World
  readonly #scene: Scene
  readonly #operators: readonly Operator[]
  #commands = 0
  #faulty = true
  #settledAfter = 0
  #servedAfter = 0
  /** What something has failed with that had nobody to throw it to. */
  #error: unknown

  constructor(schedule: Schedule, sink?: (line: string) => void) {
    this.#schedule = schedule
    this.#plan = planOf(schedule)
    this.#world = this.#createWorld(sink)
    this.#scene = this.#createScene()
    this.#operators = this.#scene.groups.map(
      group => new Operator(this.#world, group, this.#scene.nodes, this.#world.random.membership),
    )
  }

  async run(): Promise<RunResult> {
    let failure: Failure | undefined
    try {
      await this.#safetyPhase()
      await this.#livenessPhase()
    } catch (error) {
      failure = this.#failureOf(error)
    }
    const { trace, queue, coverage } = this.#world
    const { groups } = this.#scene
    return {
      schedule: this.#schedule,
      hash: trace.hash,
      events: queue.executed,
      committed: groups.reduce((sum, group) => sum + group.history.committedTo, 0),
      acknowledged: groups.reduce((sum, group) => sum + group.outcomes.acknowledged, 0),
      settledAfter: this.#settledAfter,
      servedAfter: this.#servedAfter,
      coverage: coverage.counts(),
      ...(failure && { failure }),
    }
  }

  async #safetyPhase(): Promise<void> {
    const { random } = this.#world
    for (const node of this.#scene.nodes) node.start()
    for (const group of this.#scene.groups) startWorkload(this.#world, group, random.workload)
    for (const operator of this.#operators) operator.start()
    startFaults(this.#scene)
    await this.#runUntil(this.#plan.safetyUs)
  }

  async #livenessPhase(): Promise<void> {
    this.#faulty = false
    heal(this.#scene, new RandomStream(this.#plan.seed, 'heal'))
    const { queue } = this.#world
    const electionUs = this.#plan.tickUs * this.#plan.electionTicks
    const settlings = this.#scene.groups.map((group, i) => new Settling(group, this.#operators[i] as Operator))
    const waitsForSpace = this.#plan.faults.has('diskFull') ? Math.ceil(SPACE_BACKOFF_US / electionUs) : 0
    const servedWithin = SERVED_WITHIN + waitsForSpace
    let progress = 0
    let movedAt = 0
    for (let round = 0; round < SETTLED_WITHIN && round < movedAt + STUCK_AFTER; round++) {
      for (let part = 1; part <= PUSHES; part++) {
        for (const settling of settlings) settling.push()
        await this.#runUntil(queue.nowUs + Math.ceil(electionUs / PUSHES))
        if (this.#servedAfter === 0 && settlings.every(({ isServing }) => isServing)) {
          this.#servedAfter = round + part / PUSHES
        }
      }
      this.#settledAfter = round + 1
      if (this.#plan.hasRoom && round + 1 >= servedWithin) for (const settling of settlings) settling.mustServe()
      if (settlings.every(settling => settling.trouble() === undefined)) return
      const now = settlings.reduce((sum, settling) => sum + settling.progress, 0)
      // It may also fall: with a replica goes what that one had done.
      if (now !== progress) movedAt = round
      progress = now
    }
    for (const settling of settlings) if (settling.trouble() !== undefined) settling.fail()
  }

  /** Runs every event up to a time, each with all that its promises lead to. */
  #runUntil(timeUs: number): Promise<void> {
    return inMacrotasks(() => {
      const goesOn = this.#world.queue.runNext(timeUs)
      if (this.#error !== undefined) throw this.#error
      return goesOn
    })
  }

  #elected(node: SimNode): void {
    if (this.#faulty) strikeNewLeader(this.#scene, node)
  }

  #failureOf(error: unknown): Failure {
    const invariant = error instanceof Violation ? error.invariant : 'the simulator itself'
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const cause = error instanceof Error && error.cause instanceof Error ? `\ncaused by ${error.cause.stack}` : ''
    return { invariant, message: message + cause, events: this.#world.trace.newest() }
  }

  #createWorld(sink?: (line: string) => void): World {
    const plan = this.#plan
    const stream = (name: string) => new RandomStream(plan.seed, name)
    const queue = new EventQueue()
    const coverage = new Coverage()
    const world: World = {
      plan,
      queue,
      coverage,
      network: new Network(queue, stream('network'), plan, coverage),
      trace: new TraceLog(EVENTS_KEPT, sink),
      random: {
        elections: stream('elections'),
        disk: stream('disk'),
        host: stream('host'),
        recovery: stream('recovery'),
        workload: stream('workload'),
        membership: stream('membership'),
      },
      nextCommand: () => ++this.#commands,
      fail: error => {
        this.#error ??= error
      },
      faulty: () => this.#faulty,
      elected: node => this.#elected(node),
    }
    return this.#schedule.hosted === true ? hostedIn(world) : world
  }

  #createScene(): Scene {
    const random = new RandomStream(this.#plan.seed, 'scene')
    const drifts = this.#plan.faults.has('clockDrift')
    if (drifts) this.#world.coverage.hit('clockDrift')
    const nodes = Array.from({ length: this.#plan.nodes }, (_, i) => {
      const rate = (1000 + random.between(-30, 30)) / 1000
      return new SimNode(this.#world, i + 1, drifts ? rate : 1)
    })
    const groups = this.#plan.votersPerGroup.map(
      (voters, i) => new SimGroup(this.#world, i + 1, random.shuffled(nodes).slice(0, voters)),
    )
    return { world: this.#world, nodes, groups }
  }
}

/** The same world with the real host in it. */
function hostedIn(world: World): World {
  const hosted: World = {
    ...world,
    hosting: { createReplica: (...all) => hosting.createReplica(...all), start: (...all) => hosting.start(...all) },
  }
  const hosting = new RaftNodeHosting(hosted)
  return hosted
}
