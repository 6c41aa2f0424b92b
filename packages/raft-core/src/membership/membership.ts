/**
 * Changes of the configuration while the group runs: refused or appended when proposed, in force when applied. Raft
 * thesis, chapter 4, but for when a change takes effect: here when it is committed and applied, as in etcd-io/raft, not
 * when it is appended.
 */
import type { ConfigChange, Configuration } from '../configuration.ts'
import { type Entry, type LogIndex, NONE } from '../entry.ts'
import type { GroupState } from '../group-state.ts'
import type { DropReason, StepResult } from '../input.ts'
import type { SnapshotMeta } from '../message.ts'
import { confirmReads, releaseEarlyReads } from '../reads/reads.ts'
import { appendOwn, broadcastAppend, maybeCommit, sendAppend } from '../replication.ts'
import { abortTransfer, becomeFollower } from '../roles.ts'
import { applyChange } from './changer.ts'
import type { DatedConfiguration } from './configuration-history.ts'

interface Refusal {
  readonly reason: DropReason
  readonly message: string
}

/** Proposes a change at the leader. */
export function proposeChange<P>(s: GroupState<P>, change: ConfigChange, payload: P | null): StepResult {
  const refusal = s.settings.validateConfigChanges ? refusalOf(s, change) : undefined
  if (refusal !== undefined) return { type: 'dropped', leader: s.leader, ...refusal }
  const result = applyChange(latestConfiguration(s), change)
  if (result.type === 'refused') {
    return { type: 'dropped', leader: s.leader, reason: 'invalidConfigChange', message: result.message }
  }
  const config = { change, result: result.configuration }
  const index = appendOwn(s, [{ kind: 'config', size: s.settings.ownEntryBytes, payload, config }])
  s.pendingConfigIndex = index
  broadcastAppend(s)
  return { type: 'accepted', index, term: s.term }
}

function refusalOf<P>(s: GroupState<P>, change: ConfigChange): Refusal | undefined {
  if (change.expectedIndex !== undefined && change.expectedIndex !== s.history.newestIndex) {
    const message = `the newest configuration has index ${s.history.newestIndex}, expected was ${change.expectedIndex}`
    return { reason: 'expectedIndex', message }
  }
  if (s.pendingConfigIndex > s.apply.applied) {
    const message = `possible unapplied change at index ${s.pendingConfigIndex}, applied is ${s.apply.applied}`
    return { reason: 'configChangePending', message }
  }
  const leaves = change.steps.length === 0
  if (s.tracker.isJoint() && !leaves) {
    return { reason: 'invalidConfigChange', message: 'the configuration is joint: leave it first' }
  }
  if (!s.tracker.isJoint() && leaves) {
    return { reason: 'invalidConfigChange', message: 'the configuration is not joint: nothing to leave' }
  }
  return undefined
}

/** The configuration once everything in the log is applied: what a further change builds on. */
function latestConfiguration<P>(s: GroupState<P>): Configuration {
  const newest = s.log.configIndexes.at(-1)
  const entry = newest === undefined ? undefined : s.log.window.get(newest)
  return entry?.config !== undefined && entry.index > s.history.newestIndex ? entry.config.result : s.configuration
}

/**
 * A configuration entry has been applied: its configuration is in force.
 *
 * @throws Error when it is none
 */
export function applyConfigEntry<P>(s: GroupState<P>, entry: Entry<P>): void {
  // Passing over it would leave this replica with another configuration than everybody else.
  if (entry.config === undefined) throw new Error(`entry ${entry.index} is no configuration entry: it says none`)
  const newest = s.history.newestIndex
  s.history.record({ index: entry.index, configuration: entry.config.result })
  // After a restart the state machine may be behind the configuration that the group started with.
  if (entry.index <= newest) return
  switchTo(s, entry.config.result)
}

/** A snapshot has replaced the log: its configuration is in force at once. */
export function adoptSnapshotConfiguration<P>(s: GroupState<P>, meta: SnapshotMeta<P>): void {
  s.history.restart({ index: meta.configurationIndex ?? meta.index, configuration: meta.configuration })
  switchTo(s, meta.configuration)
}

/**
 * A configuration of a change that this log cannot give is in force. Up to `knownTo` the one before it was; in between there
 * may have been others.
 */
export function configurationOutsideLog<P>(s: GroupState<P>, dated: DatedConfiguration, knownTo: LogIndex): void {
  s.history.jump(dated, knownTo)
  switchTo(s, dated.configuration)
}

function switchTo<P>(s: GroupState<P>, configuration: Configuration): void {
  s.tracker.adopt(configuration, s.log.lastIndex)
  s.trace({ type: 'configurationChanged', id: s.id, index: s.history.newestIndex, configuration })
  if (s.role !== 'leader') return
  if (!s.tracker.members.includes(s.id) || s.tracker.isLearner(s.id)) {
    // It goes on to lead a group that it is not part of: those who stay may not know of the change yet.
    if (s.settings.stepDownOnRemoval) becomeFollower(s, s.term, NONE)
    return
  }
  // With fewer voters more may be committed, and more reads confirmed.
  confirmReads(s)
  if (maybeCommit(s)) {
    releaseEarlyReads(s)
    broadcastAppend(s)
  } else {
    for (const id of s.tracker.members) {
      if (id !== s.id) sendAppend(s, id, false)
    }
  }
  if (s.transferee !== NONE && !s.tracker.isVoter(s.transferee)) abortTransfer(s)
}

/**
 * Leaves a joint configuration that was entered to be left by itself, once it is applied. Called whenever the applied
 * index moves, so a leader that found the configuration joint, or was kept from it by a transfer, tries again.
 */
export function leaveJointWhenApplied<P>(s: GroupState<P>): void {
  if (s.role !== 'leader' || !s.configuration.autoLeave || s.apply.applied < s.pendingConfigIndex) return
  // A leader that is no longer a member does it too: it is the only one who can.
  if (s.transferee !== NONE) return
  proposeChange(s, { steps: [], transition: 'auto' }, null)
}

/** Makes a voter of a learner that has caught up. Raft thesis, section 4.2.1. */
export function promoteLearner<P>(s: GroupState<P>, id: number): void {
  if (!s.settings.autoPromoteLearners || !s.tracker.isLearner(id) || s.tracker.isJoint()) return
  const progress = s.tracker.progress.get(id)
  if (progress?.state !== 'replicate' || progress.match < s.log.commit || s.log.commit === 0) return
  if (s.pendingConfigIndex > s.apply.applied || s.transferee !== NONE || !s.tracker.isVoter(s.id)) return
  proposeChange(s, { steps: [{ kind: 'addVoter', id }], transition: 'auto' }, null)
}
