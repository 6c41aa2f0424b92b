/**
 * Brings a replica the state of another one, outside Raft, for as long as it needs one: because its own is lost while its
 * log is whole, or because entries that it still has to apply can be read by nobody, and somebody is past them.
 *
 * Needs no leader: every other replica whose node is connected is asked in turn, and sends what it has. A state is taken
 * only when it is whole, holds what is needed, is newer than the one here, and does not contradict the log here. The log is
 * never changed for it.
 */
import { type GroupLog, LogDamaged, type SnapshotInfo } from '@millrace/log-store'
import type { LogIndex, ReplicaId } from '@millrace/raft-core'
import type { Clock, NodeEvent } from './node.ts'
import type { RepairBudget } from './repair-budget.ts'
import { ReportOnce } from './report-once.ts'
import type { IncomingSnapshot, SnapshotAnswer, SnapshotOffer } from './snapshot-calls.ts'
import type { SnapshotReceiver } from './snapshot-receiver.ts'
import type { TransferProgress } from './snapshot-sends.ts'
import type { StateAnswer, StateRequest } from './state-calls.ts'

/** Pauses between two rounds of all peers. */
const RETRY_MS_MIN = 200
const RETRY_MS_MAX = 30_000
/** A peer that has said that it sends its state, and of which nothing arrives for so long, is passed over. */
const SILENCE_MS_MAX = 10_000

/** The state of a replica that could not be made from its own disk. */
export interface StateRepair {
  /** There is none: it votes and stores, and neither applies, leads nor serves. */
  readonly missing: boolean
  /** What another state has to hold to help; absent where none is needed any more. */
  readonly least?: LogIndex
  /** Since the group was opened: states that came from elsewhere. */
  readonly restored: number
  /** Node that the last of them came from; 0: none yet. */
  readonly lastSource: number
}

export interface StateFetchOptions {
  readonly log: GroupLog
  readonly clock: Pick<Clock, 'setTimer'>
  readonly budget: RepairBudget
  /** Undefined: nothing is needed now. */
  readonly least: () => LogIndex | undefined
  readonly isMissing: () => boolean
  /** What is applied here, and not to be taken back. */
  readonly applied: () => LogIndex
  readonly peers: () => readonly { readonly replica: ReplicaId; readonly node: number }[]
  readonly isConnected: (node: number) => boolean
  readonly ask: (node: number, request: StateRequest) => Promise<StateAnswer>
  /** Keeps what arrives until it is whole, and calls `arrived`. */
  readonly receiver: Pick<SnapshotReceiver, 'offered' | 'progress' | 'close'>
  /** Replaces the state by what was received. @throws whatever the state machine throws */
  readonly restore: (info: SnapshotInfo) => Promise<void>
  readonly report: (event: NodeEvent) => void
}

export class StateFetch {
  readonly #options: StateFetchOptions
  readonly #once: ReportOnce
  #running = false
  #closed = false
  #wasNeeded = false
  #restored = 0
  #lastSource = 0
  /** Ends the pause between two rounds. */
  #goOn: (() => void) | undefined
  /** Something has arrived: ends the wait for it. */
  #came: (() => void) | undefined
  #installing = false

  constructor(options: StateFetchOptions) {
    this.#options = options
    this.#once = new ReportOnce(options.report)
  }

  /** Undefined while no state was ever needed from elsewhere. */
  get status(): StateRepair | undefined {
    if (!this.#wasNeeded) return undefined
    const least = this.#options.least()
    const past = { restored: this.#restored, lastSource: this.#lastSource }
    return { missing: this.#options.isMissing(), ...(least !== undefined && { least }), ...past }
  }

  get progress(): TransferProgress | undefined {
    return this.#options.receiver.progress
  }

  /** A state may be needed that was not before. */
  look(): void {
    const least = this.#options.least()
    if (this.#closed || this.#running || least === undefined) return
    this.#wasNeeded = true
    this.#running = true
    const next =
      this.#options.peers().length === 0 ? 'there is no other replica' : 'another replica is asked for its state'
    this.#reportOnce('error', `${this.#reason(least)}; ${next}`)
    const ended = (error?: unknown): void => {
      this.#running = false
      if (error === undefined) this.look()
      else this.#report('error', `fetching a state ended: ${String(error)}`)
    }
    this.#run().then(() => ended(), ended)
  }

  /** A peer may be able to help that was not before. */
  nodeConnected(node: number): void {
    if (this.#running && this.#options.peers().some(peer => peer.node === node)) this.#goOn?.()
  }

  /** @see TransportHandler.snapshotOffered */
  offered(fromNode: number, offer: SnapshotOffer, answer: (answer: SnapshotAnswer) => void): IncomingSnapshot {
    const refused = this.#refusal(offer.info)
    const answered = (given: SnapshotAnswer): void => {
      answer(given)
      // Of what is refused no more comes: another peer may have better.
      if (given.refused !== undefined) this.#came?.()
    }
    if (refused === undefined) return this.#options.receiver.offered(fromNode, offer, answered)
    answer({ term: 0, received: 0, done: false, refused })
    return { chunk: () => undefined, ended: () => undefined }
  }

  /** It is whole, and durable where the state machine's snapshots are. */
  arrived(node: number, info: SnapshotInfo): void {
    if (this.#installing || this.#closed) return
    this.#installing = true
    const ended = (error?: unknown): void => {
      this.#installing = false
      if (error !== undefined && !this.#closed)
        this.#report('error', `a state of node ${node} was not taken: ${textOf(error)}`)
      this.#came?.()
    }
    this.#install(node, info).then(() => ended(), ended)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#goOn?.()
    this.#came?.()
    await this.#options.receiver.close()
  }

  async #run(): Promise<void> {
    for (let delayMs = RETRY_MS_MIN; this.#isNeeded(); ) {
      const before = this.#restored
      await this.#options.budget.run(() => this.#round())
      if (!this.#isNeeded()) return
      if (this.#restored > before) delayMs = RETRY_MS_MIN
      await this.#sleep(delayMs, end => {
        this.#goOn = end
      })
      delayMs = Math.min(2 * delayMs, RETRY_MS_MAX)
    }
  }

  #isNeeded(): boolean {
    return !this.#closed && this.#options.least() !== undefined
  }

  async #round(): Promise<void> {
    const { peers, isConnected } = this.#options
    for (const { replica, node } of peers()) {
      if (!this.#isNeeded()) return
      if (isConnected(node) && (await this.#ask(replica, node)) === 'coming') await this.#whileItComes()
    }
  }

  async #ask(replica: ReplicaId, node: number): Promise<StateAnswer> {
    const { log, ask, least: leastNow } = this.#options
    const least = leastNow()
    if (least === undefined) return 'absent'
    try {
      const answer = await ask(node, { group: log.group, from: log.recovered.replicaId, to: replica, least })
      if (answer === 'behind') this.#reportOnce('warn', `the state of node ${node} does not hold entry ${least} either`)
      return answer
    } catch (error) {
      if (!this.#closed) this.#reportOnce('warn', `node ${node} was not asked for its state: ${textOf(error)}`)
      return 'absent'
    }
  }

  /** Resolves when something has arrived whole, or nothing more does. */
  async #whileItComes(): Promise<void> {
    let received = -1
    do {
      received = this.progress?.bytes ?? -1
      const isWoken = await this.#sleep(SILENCE_MS_MAX, end => {
        this.#came = end
      })
      if (isWoken) return
      // What is being installed takes as long as it takes.
    } while (this.#isNeeded() && (this.#installing || (this.progress?.bytes ?? -1) > received))
  }

  #refusal(info: SnapshotInfo): string | undefined {
    const least = this.#options.least()
    if (this.#closed || least === undefined) return 'no state is needed here'
    if (this.#installing) return 'another state is being installed'
    if (info.index < least) return `it holds entries up to ${info.index}, needed are those up to ${least}`
    return undefined
  }

  async #install(node: number, info: SnapshotInfo): Promise<void> {
    const { log, isMissing, applied, restore } = this.#options
    const contradiction = await contradictionTo(log, info)
    if (contradiction !== undefined) throw new Error(contradiction)
    // Meanwhile the log may have been repaired, or replaced by a snapshot.
    const least = this.#options.least()
    if (this.#closed || least === undefined || info.index < least) return
    if (!isMissing() && info.index <= applied()) return
    await restore(info)
    this.#restored += 1
    this.#lastSource = node
    this.#report('info', `the state at index ${info.index} was taken from node ${node}`)
  }

  /** @returns whether it was ended by what `sleeps` is given */
  async #sleep(delayMs: number, sleeps: (end: (() => void) | undefined) => void): Promise<boolean> {
    const isWoken = await new Promise<boolean>(resolve => {
      const timer = this.#options.clock.setTimer(delayMs, () => resolve(false))
      sleeps(() => {
        timer.cancel()
        resolve(true)
      })
    })
    sleeps(undefined)
    return isWoken
  }

  #reason(least: LogIndex): string {
    return this.#options.isMissing()
      ? `the state is lost, and the log begins after ${least}: this replica votes and stores, and neither leads nor serves`
      : `entries up to ${least} cannot be read on any replica, and are not applied here`
  }

  #reportOnce(level: NodeEvent['level'], message: string): void {
    this.#once.report({ level, group: this.#options.log.group, message })
  }

  #report(level: NodeEvent['level'], message: string): void {
    this.#options.report({ level, group: this.#options.log.group, message })
  }
}

/** What a state says of its last entry against what this log says, where it has that entry and can read it. */
async function contradictionTo(log: GroupLog, info: SnapshotInfo): Promise<string | undefined> {
  const own = await positionAt(log, info.index)
  if (own === undefined || (own.term === info.term && own.chain === info.chain)) return undefined
  return `it ends in another entry ${info.index} (term ${info.term}) than the log here (term ${own.term})`
}

async function positionAt(
  log: GroupLog,
  index: LogIndex,
): Promise<{ readonly term: number; readonly chain: number } | undefined> {
  if (index === log.base.index) return log.base
  if (index < log.base.index || index > log.durable.index) return undefined
  try {
    const [frame] = await log.read(index, index + 1, 1)
    return frame?.header
  } catch (error) {
    if (!(error instanceof LogDamaged)) throw error
    return error.hole.last.index === index ? error.hole.last : undefined
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
