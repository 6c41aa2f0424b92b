/**
 * Brings the members of every group that this node leads in line with the wish of the catalogue: one change of a group at a
 * time, a bounded number of groups at once, each change by compare-and-set on the configuration that it was made for.
 *
 * Holds nothing that a later leader would need: what is to be done follows from configuration and wish (see
 * next-member-change.ts), so a leader that is lost anywhere is followed by one that goes on.
 */
import type { Clock, GroupHandle, GroupStatus, NodeEvent } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import { CATALOGUE_GROUP } from './catalogue-machine.ts'
import type { GroupWish } from './group-wish.ts'
import { type NextChange, nextChange } from './next-member-change.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'

export interface MemberReconcilerOptions {
  readonly clock: Pick<Clock, 'setTimer' | 'monotonicMs'>
  /** All groups that run here. */
  readonly groups: () => Iterable<GroupHandle>
  readonly wishOf: (group: number) => GroupWish | undefined
  readonly log: (event: NodeEvent) => void
}

interface Work {
  readonly term: number
  /** A change that nobody has heard the end of. */
  pending: boolean
  /** A learner that is there and catches up. */
  catchingUp: boolean
  round?: Round
  /** Said once. */
  stuck?: string
  handOverAtMs?: number
}

/** What a learner has to reach, and since when. */
interface Round {
  readonly replica: number
  readonly target: number
  readonly sinceMs: number
}

const INTERVAL_MS = 200
/** A replica has caught up when what was written during a round took it no longer than this (Raft thesis, 4.2.1). */
const LAST_ROUND_MS = 1_000
const HAND_OVER_AGAIN_MS = 2_000

export class MemberReconciler {
  readonly #options: MemberReconcilerOptions
  /** Groups that are led here and not as they are to be. */
  readonly #work = new Map<number, Work>()
  /** Groups that are as they are to be, and by which wish: not looked at again before that changes. */
  readonly #settled = new Map<number, { readonly term: number; readonly wish: GroupWish }>()
  #timer: { cancel(): void } | undefined

  constructor(options: MemberReconcilerOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = this.#options.clock.setTimer(INTERVAL_MS, () => {
      this.reconcile()
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** One look at all groups led here. */
  reconcile(): void {
    const led = new Set<number>()
    for (const handle of this.#options.groups()) {
      const wish = handle.leading ? this.#options.wishOf(handle.group) : undefined
      if (wish === undefined) continue
      led.add(handle.group)
      if (!this.#isSettled(wish, handle)) this.#towards(wish, handle)
    }
    for (const groups of [this.#work, this.#settled]) {
      for (const group of groups.keys()) if (!led.has(group)) groups.delete(group)
    }
  }

  #isSettled(wish: GroupWish, { group, term }: GroupHandle): boolean {
    const settled = this.#settled.get(group)
    return settled?.term === term && settled.wish === wish
  }

  #towards(wish: GroupWish, handle: GroupHandle): void {
    const { group, term } = handle
    let work = this.#work.get(group)
    if (work !== undefined && work.term !== term) work = undefined
    if (work?.pending === true) return
    const status = handle.status()
    const next = this.#next(wish, status, work)
    this.#settled.delete(group)
    if (next.type === 'settled' || next.type === 'wait') {
      this.#work.delete(group)
      if (next.type === 'settled') this.#settled.set(group, { term, wish })
      return
    }
    if (work === undefined && this.#busy() >= TOPIC_LIMITS.memberChangesMax) return
    work ??= { term, pending: false, catchingUp: false }
    this.#work.set(group, work)
    work.catchingUp = next.type === 'catchUp' && isThere(next.replica, status)
    this.#act(next, handle, status, work)
  }

  /** Groups that wait for a node that is not there cost nothing, and keep no other one waiting. */
  #busy(): number {
    let busy = 0
    for (const { pending, catchingUp } of this.#work.values()) if (pending || catchingUp) busy++
    return busy
  }

  #next(wish: GroupWish, status: GroupStatus, work: Work | undefined): NextChange {
    return nextChange(wish, {
      self: status.replica,
      configuration: status.configuration,
      configurationIndex: status.configurationIndex,
      votersMax: status.group === CATALOGUE_GROUP ? TOPIC_LIMITS.catalogueVotersMax : Number.POSITIVE_INFINITY,
      isCaughtUp: replica => this.#isCaughtUp(replica, status, work),
      isThere: replica => isThere(replica, status),
    })
  }

  /** Whether the round that is under way has ended, soon enough. */
  #isCaughtUp(replica: number, { followers }: GroupStatus, work: Work | undefined): boolean {
    const round = work?.round
    if (round?.replica !== replica) return false
    const match = followers.find(follower => follower.replica === replica)?.match ?? 0
    return match >= round.target && this.#options.clock.monotonicMs() - round.sinceMs <= LAST_ROUND_MS
  }

  #act(next: NextChange, handle: GroupHandle, status: GroupStatus, work: Work): void {
    if (next.type === 'change') this.#change(next, handle, work)
    else if (next.type === 'catchUp') this.#nextRound(next.replica, status, work)
    else if (next.type === 'handOver') this.#handOver(next.toNodes, handle, status, work)
    else if (next.type === 'stuck' && work.stuck !== next.reason) {
      work.stuck = next.reason
      this.#log('error', handle.group, `the members of the group cannot become what they are to be: ${next.reason}`)
    }
  }

  #nextRound(replica: number, { followers, lastIndex }: GroupStatus, work: Work): void {
    const { round } = work
    const match = followers.find(follower => follower.replica === replica)?.match ?? 0
    // A round that took too long is followed by one with less to do.
    if (round?.replica === replica && match < round.target) return
    work.round = { replica, target: lastIndex, sinceMs: this.#options.clock.monotonicMs() }
  }

  #change({ what, change }: NextChange & { type: 'change' }, handle: GroupHandle, work: Work): void {
    const { group } = handle
    work.pending = true
    const taken = handle.proposeChange(change, {
      applied: () => {
        work.pending = false
        this.#log('info', group, what)
      },
      // The configuration says at the next look what became of it.
      failed: () => {
        work.pending = false
      },
    })
    if (taken.type === 'accepted') return
    work.pending = false
    // Another change was faster, leadership is on its way to somebody: looked at again soon.
    if (taken.reason === 'invalidConfigChange') this.#log('error', group, `${what}: ${taken.message}`)
  }

  #handOver(toNodes: readonly number[], handle: GroupHandle, { followers }: GroupStatus, work: Work): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs < (work.handOverAtMs ?? 0)) return
    work.handOverAtMs = nowMs + HAND_OVER_AGAIN_MS
    const able = followers.filter(
      ({ node, learner, recentlyActive }) => toNodes.includes(node) && !learner && recentlyActive,
    )
    const to = able.toSorted((a, b) => b.match - a.match)[0]
    if (to === undefined) return
    try {
      handle.transferLeadership(to.node)
    } catch (error) {
      // It stepped down since the look at it.
      if (!(error instanceof MillraceError)) throw error
    }
  }

  #log(level: NodeEvent['level'], group: number, message: string): void {
    this.#options.log({ level, group, message })
  }
}

function isThere(replica: number, { followers }: GroupStatus): boolean {
  return followers.some(follower => follower.replica === replica && follower.recentlyActive)
}
