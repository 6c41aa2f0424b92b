/**
 * Keeps what topics promise with `retentionMs` and `retentionBytes`: one pass over the replicas of this node, now and then.
 * Of groups that are led here it proposes where the log is to start; of all it trims the log to where it does start.
 *
 * Never trims by what this node alone believes: only behind a log start that the group has committed. Never decides by age
 * while the clock of this node is in doubt.
 */
import type { Clock, NodeEvent } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import { ClockGuard } from './clock-guard.ts'
import type { PartitionReplica, Trimmed } from './partition-replica.ts'
import type { ReplicaPlan } from './replica-opener.ts'
import { logStartAfterRetention } from './retention-decision.ts'
import { TaskQueue } from './task-queue.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'
import type { TopicConfig } from './topics.ts'

export interface RetentionTiming {
  /** How often a node looks for what may go. Default 30,000. */
  readonly retentionIntervalMs?: number
}

export const RETENTION_DEFAULTS: Readonly<Required<RetentionTiming>> = { retentionIntervalMs: 30_000 }

/** What a node has done about retention since its start. */
export interface RetentionActivity {
  /** Trims of logs here that dropped something. */
  readonly trims: number
  /** Records that those dropped from logs here; other replicas count theirs. */
  readonly recordsTrimmed: number
  /** Nothing is removed by age where this node leads. */
  readonly isClockInDoubt: boolean
}

export interface RetentionOptions {
  readonly clock: Pick<Clock, 'setTimer' | 'monotonicMs' | 'wallMs'>
  /** All replicas of partitions that run here. */
  readonly replicas: () => Iterable<{ readonly plan: ReplicaPlan; readonly replica: PartitionReplica }>
  /** Of a topic that has this partition; undefined where the catalogue has none any more. */
  readonly configOf: (plan: ReplicaPlan) => TopicConfig | undefined
  /** By how much the clocks of other nodes are ahead of this one's, ms, of those that answer in a moment. Default: nobody does. */
  readonly peerSkewsMs?: (() => Promise<readonly number[]>) | undefined
  readonly timing?: RetentionTiming | undefined
  readonly log: (event: NodeEvent) => void
}

export class Retention {
  readonly #options: RetentionOptions
  readonly #intervalMs: number
  readonly #guard: ClockGuard
  readonly #trims = new TaskQueue(TOPIC_LIMITS.logTrimsMax)
  /** Replicas whose log is being trimmed, or that have proposed a start and wait. */
  readonly #busy = new WeakSet<PartitionReplica>()
  #timer: { cancel(): void } | undefined
  #doubt: string | undefined
  #stopped = false
  #trimCount = 0
  #recordsTrimmed = 0

  constructor(options: RetentionOptions) {
    const { clock, timing } = options
    this.#options = options
    this.#intervalMs = timing?.retentionIntervalMs ?? RETENTION_DEFAULTS.retentionIntervalMs
    this.#guard = new ClockGuard(clock, TOPIC_LIMITS.clockSkewMaxMs)
  }

  start(): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.setTimer(this.#intervalMs, () => {
      this.look()
        .catch((error: unknown) => this.#options.log({ level: 'error', message: `retention failed: ${String(error)}` }))
        .finally(() => this.start())
    })
  }

  /** Resolves when no log is being trimmed any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#trims.close()
  }

  get activity(): RetentionActivity {
    const isClockInDoubt = this.#doubt !== undefined
    return { trims: this.#trimCount, recordsTrimmed: this.#recordsTrimmed, isClockInDoubt }
  }

  /** One look at all replicas. */
  async look(): Promise<void> {
    const { clock, peerSkewsMs } = this.#options
    this.#doubtAgain((await peerSkewsMs?.()) ?? [])
    if (this.#stopped) return
    const wallMs = this.#doubt === undefined ? clock.wallMs() : undefined
    for (const { plan, replica } of this.#options.replicas()) {
      const config = this.#options.configOf(plan)
      if (config === undefined || !replica.usable || this.#busy.has(replica)) continue
      const { retentionMs } = config
      const ageMs = retentionMs === 0 ? Number.POSITIVE_INFINITY : Math.max(retentionMs, TOPIC_LIMITS.segmentAgeMinMs)
      replica.handle.log.limitSegmentAge(ageMs)
      if (replica.leading) this.#propose(replica, config, wallMs)
      if (replica.trimDue) this.#trim(replica)
    }
  }

  #propose(replica: PartitionReplica, config: TopicConfig, wallMs: number | undefined): void {
    const { machine, handle, highWatermark, logStartOffset } = replica
    const log = { segments: handle.log.segments(), applied: machine.applied.index, highWatermark, logStartOffset }
    const offset = logStartAfterRetention(log, config, wallMs)
    if (offset === undefined) return
    this.#busy.add(replica)
    replica
      .startLogAt(offset)
      .catch((error: unknown) => {
        // It does not lead any more, or cannot take it now: the next pass of whoever leads then decides anew.
        if (!(error instanceof MillraceError)) this.#report('error', replica, `its log start was not moved: ${error}`)
      })
      .finally(() => this.#busy.delete(replica))
  }

  #count({ entries, records }: Trimmed): void {
    if (entries > 0) this.#trimCount++
    this.#recordsTrimmed += records
  }

  #trim(replica: PartitionReplica): void {
    this.#busy.add(replica)
    this.#trims.add(async () => {
      try {
        this.#count(await replica.trimLog())
      } catch (error) {
        if (replica.usable) this.#report('warn', replica, `its log was not trimmed: ${String(error)}; trying again`)
      } finally {
        this.#busy.delete(replica)
      }
    })
  }

  /** Says once when the clock is in doubt, and once when it is not any more. */
  #doubtAgain(skewsMs: readonly number[]): void {
    const before = this.#doubt
    const now = this.#guard.doubt(skewsMs)
    this.#doubt = now
    if ((now === undefined) === (before === undefined)) return
    const message =
      now === undefined
        ? 'nothing speaks against the clock of this node any more: records are deleted by age again'
        : `the clock of this node ${now}: nothing is deleted by age where it leads. Set the clock right; where it was moved and is right now, restart the node`
    this.#options.log({ level: now === undefined ? 'info' : 'warn', message })
  }

  #report(level: 'warn' | 'error', { group, topic, partition }: PartitionReplica, what: string): void {
    this.#options.log({ level, group, message: `partition ${topic}/${partition}: ${what}` })
  }
}
