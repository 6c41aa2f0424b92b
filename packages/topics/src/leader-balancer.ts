/**
 * Brings leadership of every partition back to its preferred replica, the first of its places, where another one leads.
 * Slow on purpose: a few moves at a time, and a group that would not move is left alone for a while.
 *
 * Never takes leadership from anybody: a transfer is the leader's own choice, made only while the preferred replica keeps
 * up. Never undoes what a person asked for: a leader that was put there by hand stays until the next election.
 */
import type { Clock, GroupStatus, RaftNode } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import type { PartitionReplica } from './partition-replica.ts'
import type { ReplicaPlan } from './replica-opener.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'

export interface BalanceTiming {
  /** How often leaders look for groups to hand over. Default 500. */
  readonly balanceIntervalMs?: number
  /**
   * How long a leader stays before it hands over; longer than a stopping node takes to go, or leadership would be given
   * back to it. Default 2,000.
   */
  readonly leaderSettleMs?: number
  /** How long a move may take. Default 3,000. */
  readonly moveTimeoutMs?: number
  /** Pause after a move that did not succeed. Default 10,000. */
  readonly moveRetryMs?: number
}

export const BALANCE_DEFAULTS: Readonly<Required<BalanceTiming>> = {
  balanceIntervalMs: 500,
  leaderSettleMs: 2_000,
  moveTimeoutMs: 3_000,
  moveRetryMs: 10_000,
}

/** A preferred replica that lacks more entries than this would make its group wait. */
const LAG_ENTRIES_MAX = 1_000

type Balanced = Iterable<{ readonly plan: ReplicaPlan; readonly replica: PartitionReplica }>

export class LeaderBalancer {
  readonly #node: Pick<RaftNode, 'nodeId' | 'isConnected'>
  readonly #clock: Pick<Clock, 'setTimer' | 'monotonicMs'>
  readonly #replicas: () => Balanced
  readonly #timing: Required<BalanceTiming>
  #timer: { cancel(): void } | undefined
  /** When each group was first seen led here in its current term. */
  readonly #ledSince = new Map<number, { readonly term: number; readonly atMs: number }>()
  /** Groups on the move, and until when they may take. */
  readonly #moving = new Map<number, number>()
  readonly #pausedUntil = new Map<number, number>()
  /** Groups led here by somebody's wish, and the term for which it holds. */
  readonly #held = new Map<number, number>()

  constructor(
    node: Pick<RaftNode, 'nodeId' | 'isConnected'>,
    clock: Pick<Clock, 'setTimer' | 'monotonicMs'>,
    replicas: () => Balanced,
    timing: BalanceTiming = {},
  ) {
    this.#node = node
    this.#clock = clock
    this.#replicas = replicas
    this.#timing = { ...BALANCE_DEFAULTS, ...timing }
  }

  start(): void {
    this.#timer = this.#clock.setTimer(this.#timing.balanceIntervalMs, () => {
      this.balance()
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** Leaves a group here for as long as this replica leads in `term`. */
  hold(group: number, term: number): void {
    this.#held.set(group, term)
  }

  /** One look at all groups led here. */
  balance(): void {
    const now = this.#clock.monotonicMs()
    for (const { plan, replica } of this.#replicas()) {
      const { group } = plan
      if (!replica.leading) this.#notLed(group)
      else if (this.#settled(group, replica.term, now) && !this.#onTheMove(group, now)) this.#move(plan, replica, now)
    }
  }

  #move({ group, places }: ReplicaPlan, { handle }: PartitionReplica, now: number): void {
    const preferred = places[0]?.node
    if (preferred === undefined || preferred === this.#node.nodeId || this.#held.get(group) === handle.term) return
    if (this.#moving.size >= TOPIC_LIMITS.leaderMovesMax || (this.#pausedUntil.get(group) ?? 0) > now) return
    if (!this.#node.isConnected(preferred) || !keepsUp(handle.status(), preferred)) return
    try {
      handle.transferLeadership(preferred)
      this.#moving.set(group, now + this.#timing.moveTimeoutMs)
    } catch (error) {
      // It stepped down, or the membership changed, since the look at it.
      if (!(error instanceof MillraceError)) throw error
      this.#pausedUntil.set(group, now + this.#timing.moveRetryMs)
    }
  }

  /** Whether a move is under way; one that took too long is over, and not tried again for a while. */
  #onTheMove(group: number, now: number): boolean {
    const until = this.#moving.get(group)
    if (until === undefined) return false
    if (now < until) return true
    this.#moving.delete(group)
    this.#pausedUntil.set(group, now + this.#timing.moveRetryMs)
    return false
  }

  #settled(group: number, term: number, now: number): boolean {
    const since = this.#ledSince.get(group)
    if (since?.term === term) return now - since.atMs >= this.#timing.leaderSettleMs
    this.#ledSince.set(group, { term, atMs: now })
    return false
  }

  #notLed(group: number): void {
    this.#ledSince.delete(group)
    this.#moving.delete(group)
    this.#pausedUntil.delete(group)
    this.#held.delete(group)
  }
}

function keepsUp({ followers, lastIndex }: GroupStatus, node: number): boolean {
  const follower = followers.find(f => f.node === node)
  if (follower === undefined) return false
  return follower.recentlyActive && follower.state === 'replicate' && lastIndex - follower.match <= LAG_ENTRIES_MAX
}
