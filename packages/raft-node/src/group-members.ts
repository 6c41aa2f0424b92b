/**
 * Who belongs to a group, changed while the group works: the steps that people want, made of single changes that the
 * group's leader proposes.
 *
 * Must never make a voter of a replica that has not caught up, and never reuse a replica id: who forgot its votes is
 * somebody else. Every step is one entry of the log, so a leader that is lost in between leaves a configuration that is
 * whole, and the same call, made again to the new leader, goes on from there.
 */
import type { ConfigChangeStep, ReplicaId } from '@millrace/raft-core'
import { MillraceError } from '@millrace/record'
import type { GroupConfiguration, GroupHandle, GroupStatus, MemberChange, ReplicaPlace } from './group-handle.ts'
import type { Clock } from './node.ts'
import { changeRefusal, lostLeadership } from './proposal-refusals.ts'
import { systemClock } from './system-clock.ts'

export interface MemberChangeOptions {
  /** For each entry to be committed. Default 10,000. When it is over, the change may still come. */
  readonly timeoutMs?: number
  /** For a new replica to catch up. Default 600,000. When it is over, the replica stays a learner. */
  readonly catchUpMs?: number
}

const TIMEOUT_MS = 10_000
const CATCH_UP_MS = 600_000
const POLL_MS = 20
/** What was written while a replica fetched the rest is a small part once a round takes no longer (Raft thesis, 4.2.1). */
const LAST_ROUND_MS = 500

/**
 * All methods resolve with the configuration in force here. They are refused, with nothing stored, by `NOT_LEADER` (the
 * details name the leader's node and, where it is known, address), `NO_LEADER`, `LEADER_STARTING`, `CHANGE_IN_PROGRESS`,
 * `INVALID_ARGUMENT` (an unknown replica, an id that was used before, no voter would be left), `REPLICA_BEHIND`
 * and `PARTITION_HALTED`; `APPEND_TIMEOUT` and `LEADERSHIP_LOST` leave it unknown. What is so already is done.
 */
export class GroupMembers {
  readonly #group: GroupHandle
  readonly #clock: Clock

  constructor(group: GroupHandle, clock: Clock = systemClock) {
    this.#group = group
    this.#clock = clock
  }

  /** Adds a replica that stores and applies everything, and has no vote. */
  async addLearner(place: ReplicaPlace, options: MemberChangeOptions = {}): Promise<GroupConfiguration> {
    const { configuration } = this.#status()
    if (isAt(configuration, place) && configuration.learners.includes(place.replica)) return configuration
    this.#checkNew(configuration, place)
    return this.#change({ steps: [{ kind: 'addLearner', id: place.replica }], joining: [place] }, options)
  }

  /** Gives a learner a vote, once it has caught up. */
  async promote(replica: ReplicaId, options: MemberChangeOptions = {}): Promise<GroupConfiguration> {
    const { configuration } = this.#status()
    if (configuration.voters.includes(replica)) return configuration
    this.#checkMember(configuration, replica)
    return this.#whenCaughtUp(replica, [{ kind: 'addVoter', id: replica }], options)
  }

  /** Adds a replica as a learner, and gives it a vote once it has caught up. */
  async addVoter(place: ReplicaPlace, options: MemberChangeOptions = {}): Promise<GroupConfiguration> {
    const { configuration } = this.#status()
    if (isAt(configuration, place) && configuration.voters.includes(place.replica)) return configuration
    await this.addLearner(place, options)
    return this.promote(place.replica, options)
  }

  /** Takes a voter's vote away; it goes on as a learner. */
  async demote(replica: ReplicaId, options: MemberChangeOptions = {}): Promise<GroupConfiguration> {
    const { configuration } = this.#status()
    this.#checkMember(configuration, replica)
    if (configuration.learners.includes(replica)) return configuration
    this.#checkVoterLeft(configuration, replica)
    return this.#change({ steps: [{ kind: 'addLearner', id: replica }], joining: [] }, options)
  }

  /** Removes a replica; its id is never used again. A leader that removes itself steps down once that is committed. */
  async remove(replica: ReplicaId, options: MemberChangeOptions = {}): Promise<GroupConfiguration> {
    const { configuration } = this.#status()
    this.#checkMember(configuration, replica)
    this.#checkVoterLeft(configuration, replica)
    return this.#change({ steps: [{ kind: 'remove', id: replica }], joining: [] }, options)
  }

  /**
   * Puts a new replica in the place of a voter: learner first; once it has caught up, vote and removal change at once (by
   * a joint configuration), so that the number of voters stays what it was. It may be on the node of the old one, whose
   * disk is lost.
   */
  async replace(old: ReplicaId, by: ReplicaPlace, options: MemberChangeOptions = {}): Promise<GroupConfiguration> {
    const { configuration } = this.#status()
    const isMember = isAt(configuration, by)
    if (isMember && configuration.voters.includes(by.replica) && !memberIds(configuration).has(old))
      return configuration
    this.#checkMember(configuration, old)
    if (!isMember) {
      this.#checkNew(configuration, by, old)
      await this.#change({ steps: [{ kind: 'addLearner', id: by.replica }], joining: [by] }, options)
    }
    const steps: readonly ConfigChangeStep[] = [
      { kind: 'addVoter', id: by.replica },
      { kind: 'remove', id: old },
    ]
    return this.#whenCaughtUp(by.replica, steps, options)
  }

  /** @throws MillraceError where this replica cannot change anything now */
  #status(): GroupStatus {
    const status = this.#group.status()
    const { halted, role, configuration } = status
    if (halted !== undefined) {
      throw new MillraceError('PARTITION_HALTED', `group ${status.group} takes no part on this node: ${halted}`)
    }
    if (role !== 'leader') throw lostLeadership(this.#group, 'only the leader changes members')
    if (configuration.votersOutgoing.length > 0) {
      const message = `group ${status.group} is between two configurations: try again when it has left the first`
      throw new MillraceError('CHANGE_IN_PROGRESS', message)
    }
    return status
  }

  #checkMember(configuration: GroupConfiguration, replica: ReplicaId): void {
    if (memberIds(configuration).has(replica)) return
    throw this.#invalid(`there is no replica ${replica}; replicas are ${[...memberIds(configuration)].join(', ')}`)
  }

  #checkVoterLeft({ voters }: GroupConfiguration, replica: ReplicaId): void {
    if (voters.some(voter => voter !== replica)) return
    throw this.#invalid(`replica ${replica} is the only voter: add another one first`)
  }

  /** @param instead a member that goes: the new one may be on its node */
  #checkNew(configuration: GroupConfiguration, { replica, node }: ReplicaPlace, instead?: ReplicaId): void {
    const members = memberIds(configuration)
    const highest = Math.max(configuration.lastReplica ?? 0, ...members)
    if (!Number.isInteger(replica) || replica < 1 || replica > 0xffff_ffff) {
      throw this.#invalid(`${replica} is no replica id: an integer from 1 to 4,294,967,295`)
    }
    if (members.has(replica))
      throw this.#invalid(`there is a replica ${replica} already: a new one has an id above ${highest}`)
    if (replica <= highest) {
      throw this.#invalid(`replica ids are never used again, and ${highest} was: take one above it, not ${replica}`)
    }
    const there = configuration.places.find(place => place.node === node && place.replica !== instead)
    if (there === undefined) return
    throw this.#invalid(`node ${node} has replica ${there.replica} already: replace it, or choose another node`)
  }

  #invalid(problem: string): MillraceError {
    return new MillraceError('INVALID_ARGUMENT', `group ${this.#group.group}: ${problem}`)
  }

  async #whenCaughtUp(
    replica: ReplicaId,
    steps: readonly ConfigChangeStep[],
    options: MemberChangeOptions,
  ): Promise<GroupConfiguration> {
    const { catchUpMs = CATCH_UP_MS } = options
    const untilMs = this.#clock.monotonicMs() + catchUpMs
    let roundMs = this.#clock.monotonicMs()
    let target = this.#status().lastIndex
    for (;;) {
      const status = this.#status()
      const nowMs = this.#clock.monotonicMs()
      const follower = status.followers.find(other => other.replica === replica)
      if (follower === undefined) throw this.#invalid(`replica ${replica} was removed while it caught up`)
      if (follower.match >= target) {
        if (nowMs - roundMs <= LAST_ROUND_MS) return this.#change({ steps, joining: [] }, options)
        roundMs = nowMs
        target = status.lastIndex
      } else if (nowMs >= untilMs) {
        const lag = `it has the log up to ${follower.match} of ${status.lastIndex}`
        const message = `replica ${replica} did not catch up within ${catchUpMs} ms: ${lag}. It stays a learner`
        throw new MillraceError('REPLICA_BEHIND', message)
      }
      await new Promise<void>(resolve => this.#clock.setTimer(POLL_MS, resolve))
    }
  }

  /** One entry; resolves when it is in force and no joint configuration is left to leave. */
  #change(change: MemberChange, { timeoutMs = TIMEOUT_MS }: MemberChangeOptions): Promise<GroupConfiguration> {
    const group = this.#group
    return new Promise((resolve, reject) => {
      let committed = false
      const finish = (settle: () => void): void => {
        timer.cancel()
        unobserve()
        settle()
      }
      const settleIfLeft = (): void => {
        const { configuration } = group.status()
        if (committed && configuration.votersOutgoing.length === 0) finish(() => resolve(configuration))
      }
      const unobserve = group.observe(event => {
        if (event.type === 'configuration') settleIfLeft()
        else if (event.type !== 'leader') finish(() => reject(unknown('LEADERSHIP_LOST', 'this replica has stopped')))
      })
      const timer = this.#clock.setTimer(timeoutMs, () =>
        finish(() =>
          reject(unknown('APPEND_TIMEOUT', `the change of members was not in force within ${timeoutMs} ms`)),
        ),
      )
      const taken = group.proposeChange(change, {
        applied: () => {
          committed = true
          settleIfLeft()
        },
        failed: (outcome, reason) =>
          finish(() =>
            reject(outcome === 'not_stored' ? lostLeadership(group, reason) : unknown('LEADERSHIP_LOST', reason)),
          ),
      })
      if (taken.type === 'dropped') finish(() => reject(changeRefusal(group, taken)))
    })
  }
}

function unknown(code: 'APPEND_TIMEOUT' | 'LEADERSHIP_LOST', reason: string): MillraceError {
  return new MillraceError(code, reason, { outcome: 'unknown' })
}

function memberIds({ voters, votersOutgoing, learners }: GroupConfiguration): Set<ReplicaId> {
  return new Set([...voters, ...votersOutgoing, ...learners])
}

function isAt(configuration: GroupConfiguration, { replica, node }: ReplicaPlace): boolean {
  return configuration.places.some(place => place.replica === replica && place.node === node)
}
