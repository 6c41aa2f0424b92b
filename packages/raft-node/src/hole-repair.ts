/**
 * Repairs the log of one replica from its peers, for as long as the log has holes.
 *
 * Needs no leader: every other replica whose node is connected is asked in turn. Where nobody can help it asks again, ever
 * more rarely, and at once when a node comes back. It never changes the log but by patches, which the store accepts only
 * where they join on both sides.
 */
import type { GroupLog, LogPosition } from '@millrace/log-store'
import type { HoleRange, LogIndex, ReplicaId } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import type { FrameAnswer, FrameRequest } from './frame-calls.ts'
import type { GroupDamage } from './group-handle.ts'
import { type FetchEnd, fetchHole } from './hole-fetch.ts'
import type { Clock, NodeEvent } from './node.ts'
import type { RepairBudget } from './repair-budget.ts'
import { ReportOnce } from './report-once.ts'

/** Pauses between two rounds of all peers. */
const RETRY_MS_MIN = 200
const RETRY_MS_MAX = 30_000
/** A peer that is busy is asked again after this time. */
const BUSY_MS = 50
/** Of one peer, in a row. */
const BUSY_ANSWERS_MAX = 20
/** Who waits for a repair; more are told at once that the range is damaged. */
const REPAIR_WAITERS_MAX = 4_096

/** What a repair asks of its replica and its node. */
export interface HoleRepairOptions {
  readonly log: GroupLog
  readonly clock: Pick<Clock, 'monotonicMs' | 'setTimer'>
  readonly budget: RepairBudget
  readonly electionTimeoutMs: number
  /** The other replicas of the group, and where they are. */
  readonly peers: () => readonly { readonly replica: ReplicaId; readonly node: number; readonly isVoter: boolean }[]
  readonly leads: () => boolean
  readonly isConnected: (node: number) => boolean
  readonly ask: (node: number, request: FrameRequest) => Promise<FrameAnswer>
  /** All holes that are known now. */
  readonly found: (holes: readonly HoleRange[]) => void
  /** Entries can be read that could not. */
  readonly filled: (frames: readonly Frame[]) => void
  /** What is left when everybody who could be asked has been, in vain. */
  readonly unhelped: (holes: readonly HoleRange[]) => void
  readonly report: (event: NodeEvent) => void
}

interface Waiter {
  readonly index: LogIndex
  readonly timer: { cancel(): void }
  readonly settle: (isReadable: boolean) => void
}

export class HoleRepair {
  readonly #options: HoleRepairOptions
  /** As the core was told. */
  #holes: readonly HoleRange[]
  readonly #once: ReportOnce
  #running = false
  #closed = false
  #pause: { readonly timer: { cancel(): void }; readonly end: () => void } | undefined
  #waiters: Waiter[] = []
  /** What each peer said to the last question that it could not answer with frames. */
  readonly #refusals = new Map<ReplicaId, FetchEnd>()
  #framesRepaired = 0
  #lastSource = 0
  /** While a leader lacks an entry: since when, and when that was last so. */
  #missed: { readonly sinceMs: number; lastMs: number } | undefined

  constructor(options: HoleRepairOptions) {
    this.#options = options
    this.#once = new ReportOnce(options.report)
    this.#holes = rangesOf(options.log)
  }

  /** Begins with what was found when the group was opened. */
  start(): void {
    for (const hole of this.#holes) this.#reportHole(hole)
    this.look()
  }

  get isNeeded(): boolean {
    return this.#holes.length > 0
  }

  /** Undefined while nothing has ever been damaged. */
  get status(): GroupDamage | undefined {
    if (!this.isNeeded && this.#framesRepaired === 0) return undefined
    const entriesMissing = this.#holes.reduce((sum, { first, last }) => sum + last - first + 1, 0)
    const repaired = { framesRepaired: this.#framesRepaired, lastSource: this.#lastSource }
    return { holes: this.#holes, entriesMissing, ...repaired }
  }

  /** Something may have been found that cannot be read. */
  look(): void {
    if (this.#closed) return
    this.#note()
    if (!this.isNeeded) return
    if (this.#running) this.#wake()
    else this.#begin()
  }

  /** A peer may be able to help that was not before. */
  nodeConnected(node: number): void {
    if (this.isNeeded && this.#options.peers().some(peer => peer.node === node)) this.#wake()
  }

  /** Resolves when an entry can be read, or when it has been waited for long enough. */
  async whenReadable(index: LogIndex): Promise<boolean> {
    this.look()
    if (!covers(this.#holes, index)) return true
    if (this.#closed || this.#waiters.length >= REPAIR_WAITERS_MAX) return false
    return await new Promise<boolean>(resolve => {
      const settle = (isReadable: boolean): void => {
        waiter.timer.cancel()
        this.#waiters = this.#waiters.filter(each => each !== waiter)
        resolve(isReadable)
      }
      const { clock, electionTimeoutMs } = this.#options
      const waiter: Waiter = { index, settle, timer: clock.setTimer(electionTimeoutMs, () => settle(false)) }
      this.#waiters.push(waiter)
    })
  }

  /** An entry that is needed is in a hole. A leader that nobody gives it to either is none for long. */
  missed(): void {
    this.look()
    if (!this.#options.leads()) return
    const { clock, electionTimeoutMs } = this.#options
    const nowMs = clock.monotonicMs()
    const goesOn = this.#missed !== undefined && nowMs - this.#missed.lastMs < electionTimeoutMs
    this.#missed = { sinceMs: goesOn ? this.#missed!.sinceMs : nowMs, lastMs: nowMs }
  }

  /**
   * Whether a leader has lacked an entry for an election timeout while somebody else may have it: somebody who could be
   * reached has not said that it is as damaged there.
   */
  isStuck(): boolean {
    const { clock, electionTimeoutMs, peers, isConnected } = this.#options
    if (this.#missed === undefined || !this.isNeeded) return false
    if (this.#missed.lastMs - this.#missed.sinceMs < electionTimeoutMs) return false
    if (clock.monotonicMs() - this.#missed.lastMs > electionTimeoutMs) return false
    const mayHelp = (refusal: FetchEnd | undefined): boolean => refusal !== 'damaged' && refusal !== 'differs'
    return peers().some(
      ({ replica, node, isVoter }) => isVoter && isConnected(node) && mayHelp(this.#refusals.get(replica)),
    )
  }

  /** Another role, or another term: nothing has been missed in it. */
  leadershipChanged(): void {
    this.#missed = undefined
  }

  close(): void {
    this.#closed = true
    this.#wake()
    for (const waiter of this.#waiters) waiter.settle(false)
  }

  /** Tells the core where the holes are now. */
  #note(): void {
    const holes = rangesOf(this.#options.log)
    const before = this.#holes
    if (holes.length === before.length && holes.every((hole, i) => isSame(hole, before[i]!))) return
    this.#holes = holes
    this.#options.found(holes)
    for (const hole of holes) if (!before.some(known => contains(known, hole))) this.#reportHole(hole)
    for (const waiter of this.#waiters) if (!covers(holes, waiter.index)) waiter.settle(true)
    if (holes.length === 0) this.#missed = undefined
  }

  #begin(): void {
    this.#running = true
    const ended = (error?: unknown): void => {
      this.#running = false
      if (error !== undefined) this.#report('error', `the repair ended: ${String(error)}`)
      // Damage that was found while the last round ended.
      else if (this.isNeeded && !this.#closed) this.#begin()
    }
    this.#run().then(() => ended(), ended)
  }

  async #run(): Promise<void> {
    for (let delayMs = RETRY_MS_MIN; this.isNeeded && !this.#closed; ) {
      const isBetter = await this.#options.budget.run(() => this.#round())
      if (isBetter) delayMs = RETRY_MS_MIN
      else if (this.isNeeded && !this.#closed) {
        this.#options.unhelped(rangesOf(this.#options.log))
        await this.#sleep(delayMs)
        delayMs = Math.min(2 * delayMs, RETRY_MS_MAX)
      }
      this.#note()
    }
  }

  /** Asks every peer for every hole. @returns whether one was filled, or a part of it */
  async #round(): Promise<boolean> {
    const repairedBefore = this.#framesRepaired
    for (const { before, last } of this.#options.log.holes) {
      for (const { replica, node } of this.#options.peers()) {
        if (this.#closed) return false
        const end = await this.#fetch(replica, node, { before, last })
        if (end === 'repaired' || end === 'gone') break
        this.#refusals.set(replica, end)
      }
    }
    return this.#framesRepaired > repairedBefore
  }

  async #fetch(replica: ReplicaId, node: number, hole: Parameters<typeof fetchHole>[1]): Promise<FetchEnd> {
    const { log, isConnected } = this.#options
    if (!isConnected(node)) return 'absent'
    const source = {
      ask: (request: Pick<FrameRequest, 'first' | 'last' | 'bytesMax'>) => this.#ask(replica, node, request),
    }
    try {
      return await fetchHole({ log, source, patched: frames => this.#patched(node, frames) }, hole)
    } catch (error) {
      if (!this.#closed) this.#warnOnce(`node ${node} did not help to repair ${textOf(hole)}: ${String(error)}`)
      return 'absent'
    }
  }

  async #ask(
    replica: ReplicaId,
    node: number,
    { first, last, bytesMax }: Pick<FrameRequest, 'first' | 'last' | 'bytesMax'>,
  ): Promise<FrameAnswer> {
    const { log, budget, ask } = this.#options
    const { index, term, chain } = last
    const envelope = { group: log.group, from: log.recovered.replicaId, to: replica }
    for (let busy = 0; busy < BUSY_ANSWERS_MAX && !this.#closed; busy++) {
      await budget.grant(bytesMax)
      const answer = await ask(node, { ...envelope, first, last: { index, term, chain }, bytesMax })
      if (answer.status !== 'busy') return answer
      await this.#sleep(BUSY_MS)
    }
    return { status: 'busy' }
  }

  #patched(node: number, frames: readonly Frame[]): void {
    if (this.#closed) return
    const { traffic } = this.#options.budget
    const [first, last] = [frames[0]!.header.index, frames.at(-1)!.header.index]
    this.#framesRepaired += frames.length
    this.#lastSource = node
    traffic.framesRepaired += frames.length
    for (const { bytes } of frames) traffic.bytesRepaired += bytes.length
    this.#options.filled(frames)
    this.#note()
    this.#report('info', `entries ${first} to ${last} are repaired from node ${node}`)
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise(resolve => {
      const end = (): void => {
        this.#pause?.timer.cancel()
        this.#pause = undefined
        resolve()
      }
      this.#pause = { end, timer: this.#options.clock.setTimer(delayMs, end) }
    })
  }

  #wake(): void {
    this.#pause?.end()
  }

  #warnOnce(message: string): void {
    this.#once.report({ level: 'warn', group: this.#options.log.group, message })
  }

  #reportHole({ first, last }: HoleRange): void {
    this.#report(
      'error',
      `entries ${first} to ${last} cannot be read from the disk; they are fetched from other replicas`,
    )
  }

  #report(level: NodeEvent['level'], message: string): void {
    this.#options.report({ level, group: this.#options.log.group, message })
  }
}

function rangesOf({ holes }: GroupLog): readonly HoleRange[] {
  return holes.map(({ before, last }) => ({ first: before.index + 1, last: last.index }))
}

function covers(holes: readonly HoleRange[], index: LogIndex): boolean {
  return holes.some(({ first, last }) => first <= index && index <= last)
}

function contains(outer: HoleRange, inner: HoleRange): boolean {
  return outer.first <= inner.first && inner.last <= outer.last
}

function isSame(a: HoleRange, b: HoleRange): boolean {
  return a.first === b.first && a.last === b.last
}

function textOf({ before, last }: { readonly before: LogPosition; readonly last: LogPosition }): string {
  return `entries ${before.index + 1} to ${last.index}`
}
