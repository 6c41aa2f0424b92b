/**
 * A partition with two nodes, and a network, as an `AppendLane` sees them, in simulated time from one seed.
 *
 * Connections keep their order, but not among each other: what was sent on one that the client has given up may arrive
 * long after. The log is the truth: at the end it says which settlement was a lie.
 */
import type { ErrorCode, Outcome } from '@millrace/record'
import type { Answer, Failure } from '../producer/answer.ts'
import { AppendLane } from '../producer/append-lane.ts'
import type { LaneAction } from '../producer/lane-action.ts'

export interface SimulationResult {
  readonly problems: readonly string[]
  readonly counts: {
    readonly stored: number
    readonly unknown: number
    readonly notStored: number
    readonly duplicatesRefused: number
    readonly epochs: number
  }
}

interface Request {
  readonly attempt: number
  readonly batch: number
  readonly conditional: boolean
  readonly producer: number
  readonly epoch: number
  readonly sequence: number
  readonly retry: boolean
}

interface Entry extends Request {
  readonly connection: Connection
  committed: boolean
}

interface Connection {
  readonly id: number
  readonly node: number
  /** Nothing that was sent on it arrives before this. */
  arrivesAt: number
  answersAt: number
  /** The client has given it up. */
  closed: boolean
}

type SendAction = Extract<LaneAction, { type: 'send' }>

const FAULTS_END = 4_000
const BATCHES = 40

/** mulberry32 */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

function failure(code: ErrorCode, retryable: boolean, outcome: Outcome = 'not_stored'): Failure {
  return { ok: false, code, outcome, retryable, message: code }
}

/** @param flagged false: a retry looks like a first attempt to the partition, as from a client that never says so */
export function simulate(seed: number, { flagged = true }: { readonly flagged?: boolean } = {}): SimulationResult {
  return new Simulation(seed, flagged).run()
}

class Simulation {
  readonly #random: () => number
  readonly #lane: AppendLane
  readonly #events: { at: number; order: number; run: () => void }[] = []
  readonly #log: Entry[] = []
  readonly #settled = new Map<number, Answer>()
  readonly #connections = new Map<number, Connection>()
  readonly #problems: string[] = []
  readonly #faults: Readonly<Record<'loss' | 'elections' | 'refusals' | 'throttle' | 'zombies' | 'forget', number>>
  /** First attempts of number 0 that have not arrived. */
  readonly #firsts = new Set<Request>()
  readonly #flagged: boolean
  #now = 0
  #order = 0
  #leader = 0
  #leaderReadyAt = 0
  #duplicates = 0
  #epochs = 0
  #producers = 0
  #forgottenBefore = 0

  constructor(seed: number, flagged: boolean) {
    this.#flagged = flagged
    this.#random = generator(seed)
    const pick = (most: number): number => (this.#random() < 0.5 ? 0 : this.#random() * most)
    this.#faults = {
      loss: pick(0.1),
      elections: pick(0.08),
      refusals: pick(0.1),
      throttle: pick(0.1),
      zombies: pick(1),
      forget: this.#random() < 0.3 ? this.#random() * 0.2 : 0,
    }
    const config = { inflightBatchesMax: 5, attemptTimeoutMs: 300, backoffMinMs: 10, backoffMaxMs: 100 }
    const producerId = (): Uint8Array => new Uint8Array(16).fill(++this.#producers)
    this.#lane = new AppendLane(config, { random: this.#random, producerId })
  }

  run(): SimulationResult {
    for (let id = 1; id <= BATCHES; id++) {
      const at = this.#random() * FAULTS_END
      this.#at(at, () => {})
    }
    const times = this.#events.map(event => event.at).sort((a, b) => a - b)
    this.#events.length = 0
    for (const [i, at] of times.entries()) this.#at(at, () => this.#enqueue(i + 1))
    for (let at = 0; at < FAULTS_END; at += 20) this.#at(at, () => this.#misfortune())
    for (let steps = 0; this.#events.length > 0 && steps < 100_000; steps++) {
      this.#events.sort((a, b) => a.at - b.at || a.order - b.order)
      const event = this.#events.shift()!
      this.#now = event.at
      event.run()
      this.#act()
    }
    this.#judge()
    const answers = [...this.#settled.values()]
    return {
      problems: this.#problems,
      counts: {
        stored: answers.filter(a => a.ok).length,
        unknown: answers.filter(a => !a.ok && a.outcome === 'unknown').length,
        notStored: answers.filter(a => !a.ok && a.outcome === 'not_stored').length,
        duplicatesRefused: this.#duplicates,
        epochs: this.#epochs,
      },
    }
  }

  #at(at: number, run: () => void): void {
    this.#events.push({ at, order: this.#order++, run })
  }

  #enqueue(id: number): void {
    const conditional = this.#random() < 0.15
    this.#lane.enqueue({ id, conditional, deadline: this.#now + 300 + this.#random() * 1200 }, this.#now)
  }

  #misfortune(): void {
    if (this.#random() < this.#faults.elections) this.#elect()
    if (this.#random() < this.#faults.forget) this.#forget()
    if (this.#random() >= this.#faults.loss) return
    const open = [...this.#connections.values()].filter(c => !c.closed)
    const lost = open[Math.floor(this.#random() * open.length)]
    if (lost !== undefined) this.#close(lost)
  }

  /**
   * The producers of all that is committed. Not while a first attempt of number 0 is under way: nothing would tell it from
   * a new producer, and a partition takes longer to forget than a message to arrive.
   */
  #forget(): void {
    if (this.#firsts.size === 0) this.#forgottenBefore = this.#log.findLastIndex(entry => entry.committed) + 1
  }

  /** The new leader keeps what is committed and perhaps some of the rest, which is then committed. */
  #elect(): void {
    const committed = this.#log.findLastIndex(entry => entry.committed) + 1
    const kept = committed + Math.floor(this.#random() * (this.#log.length - committed + 1))
    for (const entry of this.#log.splice(kept)) {
      const silent = this.#random() < 0.5
      if (!silent) this.#reply(entry.connection, entry.attempt, failure('LEADERSHIP_LOST', true, 'unknown'))
    }
    for (const entry of this.#log) entry.committed = true
    this.#leader = 1 - this.#leader
    this.#leaderReadyAt = this.#now + this.#random() * 100
  }

  #close(connection: Connection): void {
    connection.closed = true
    this.#at(this.#now + this.#random() * 20, () => this.#lane.unlinked(connection.id, this.#now))
  }

  #act(): void {
    for (const action of this.#lane.takeActions()) {
      if (action.type === 'find') this.#at(this.#now + 1, () => this.#find())
      else if (action.type === 'send') this.#send(action)
      else if (action.type === 'suspect') {
        // Some clients close the connection, some go on listening to it.
        const connection = this.#connections.get(action.link)!
        if (this.#random() < 0.5) connection.closed = true
      } else if (action.type === 'settle') {
        if (this.#settled.has(action.batch.id)) this.#problems.push(`batch ${action.batch.id} settled twice`)
        this.#settled.set(action.batch.id, action.answer)
      }
    }
    const wake = this.#lane.wakeAt()
    if (wake !== Number.POSITIVE_INFINITY) this.#at(Math.max(wake, this.#now + 0.5), () => this.#tick(wake))
  }

  #tick(wake: number): void {
    if (this.#lane.wakeAt() === wake) this.#lane.tick(this.#now)
  }

  #find(): void {
    if (this.#random() < this.#faults.loss) {
      this.#lane.notFound(this.#now)
      return
    }
    const stale = this.#random() < 0.2
    const node = stale ? 1 - this.#leader : this.#leader
    const open = [...this.#connections.values()].find(c => c.node === node && !c.closed)
    const id = open?.id ?? this.#connections.size + 1
    if (open === undefined) this.#connections.set(id, { id, node, arrivesAt: 0, answersAt: 0, closed: false })
    this.#lane.linked(id, this.#now)
  }

  #send(action: SendAction): void {
    const connection = this.#connections.get(action.link)!
    if (connection.closed) return
    if (action.sequence === 0 && action.epoch > 0) this.#epochs++
    const request: Request = {
      attempt: action.attempt,
      batch: action.batch.id,
      conditional: action.batch.conditional,
      producer: action.producerId[0]!,
      epoch: action.epoch,
      sequence: action.sequence,
      retry: action.retry && this.#flagged,
    }
    if (action.sequence === 0 && !action.retry) this.#firsts.add(request)
    connection.arrivesAt = Math.max(connection.arrivesAt, this.#now + this.#delay()) + 0.001
    this.#at(connection.arrivesAt, () => {
      // What was in the buffers of a closed connection arrives, or does not, or much later.
      if (!connection.closed) this.#arrive(connection, request)
      else if (this.#random() < this.#faults.zombies) {
        connection.arrivesAt = Math.max(connection.arrivesAt, this.#now + this.#random() * 800) + 0.001
        this.#at(connection.arrivesAt, () => this.#arrive(connection, request))
      } else this.#firsts.delete(request)
    })
  }

  #delay(): number {
    return this.#random() < 0.03 ? this.#random() * 400 : 1 + this.#random() * 5
  }

  #arrive(connection: Connection, request: Request): void {
    this.#firsts.delete(request)
    const verdict = this.#decide(connection.node, request)
    if (verdict === 'accept') this.#accept(connection, request)
    else if ('batch' in verdict) this.#whenCommitted(verdict, connection, request.attempt)
    else this.#reply(connection, request.attempt, verdict)
  }

  /** What a leader says: take it, it is this entry, or a refusal. */
  #decide(node: number, request: Request): 'accept' | Entry | Answer {
    const faulty = this.#now < FAULTS_END
    if (node !== this.#leader) return failure('NOT_LEADER', true)
    if (this.#now < this.#leaderReadyAt) return failure('LEADER_STARTING', true)
    if (faulty && this.#random() < this.#faults.throttle) return failure('THROTTLED', true)
    if (faulty && this.#random() < this.#faults.refusals) return failure('RECORD_TOO_LARGE', false)
    const known = this.#log.slice(this.#forgottenBefore).filter(entry => entry.producer === request.producer)
    const newest = known.at(-1)
    if (newest === undefined && (request.sequence > 0 || (request.retry && this.#forgottenBefore > 0))) {
      return failure('PRODUCER_UNKNOWN', false, 'unknown')
    }
    if (newest !== undefined && request.epoch < newest.epoch) return failure('PRODUCER_FENCED', false)
    const next = newest === undefined || request.epoch > newest.epoch ? 0 : newest.sequence + 1
    if (request.sequence > next) return failure('PRODUCER_SEQUENCE_GAP', true)
    if (request.sequence < next) {
      this.#duplicates++
      const first = known.find(entry => entry.epoch === request.epoch && entry.sequence === request.sequence)
      return first?.batch === request.batch ? first : failure('PRODUCER_CONFLICT', false)
    }
    return request.conditional && this.#random() < 0.4 ? failure('EXPECTATION_FAILED', false) : 'accept'
  }

  #accept(connection: Connection, request: Request): void {
    const entry: Entry = { ...request, connection, committed: false }
    this.#log.push(entry)
    this.#at(this.#now + 1 + this.#random() * 10, () => {
      const index = this.#log.indexOf(entry)
      for (let i = 0; i <= index; i++) this.#log[i]!.committed = true
    })
    this.#whenCommitted(entry, connection, request.attempt)
  }

  #whenCommitted(entry: Entry, connection: Connection, attempt: number): void {
    this.#at(this.#now + 12, () => {
      const baseOffset = this.#log.indexOf(entry)
      if (baseOffset >= 0) this.#reply(connection, attempt, { ok: true, baseOffset, timestamp: 0 })
    })
  }

  #reply(connection: Connection, attempt: number, answer: Answer): void {
    if (this.#now < FAULTS_END && this.#random() < this.#faults.loss * 0.3) this.#close(connection)
    connection.answersAt = Math.max(connection.answersAt, this.#now + this.#delay()) + 0.001
    this.#at(connection.answersAt, () => {
      if (!connection.closed) this.#lane.answer(attempt, answer, this.#now)
    })
  }

  #judge(): void {
    const offsets = new Map<number, number>()
    let last = 0
    for (const [offset, { batch }] of this.#log.entries()) {
      if (offsets.has(batch)) this.#problems.push(`batch ${batch} stored twice`)
      if (batch <= last) this.#problems.push(`batch ${batch} stored after ${last}`)
      offsets.set(batch, offset)
      last = batch
    }
    for (let id = 1; id <= BATCHES; id++) {
      const answer = this.#settled.get(id)
      if (answer === undefined) this.#problems.push(`batch ${id} never settled`)
      else if (answer.ok && offsets.get(id) !== answer.baseOffset) this.#problems.push(`batch ${id}: false stored`)
      else if (!answer.ok && answer.outcome === 'not_stored' && offsets.has(id)) {
        this.#problems.push(`batch ${id}: false not stored (${answer.code})`)
      }
    }
    if (this.#lane.size > 0) this.#problems.push(`${this.#lane.size} batches left in the lane`)
  }
}
