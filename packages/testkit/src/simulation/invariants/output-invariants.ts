/** What must hold for everything that a replica asks for: writes, messages, entries to be applied, reads. */
import type { GroupStatus, LogIndex, Message, Term } from '@millrace/raft-core'
import { chainOf, imageOf, type Payload, type SimEntry, type SimSnapshot, type StateImage } from '../payload.ts'
import type { SimAppendTask } from '../storage-record.ts'
import { illegalStep, textOf } from './configuration.ts'
import type { GroupHistory } from './group-history.ts'
import type { Observed } from './observed.ts'
import { invariant } from './violation.ts'

/** A write joins the log, replaces nothing that is committed, and says nothing that another log contradicts. */
export function checkAppendTask(
  observed: Observed,
  history: GroupHistory,
  task: SimAppendTask,
  now: GroupStatus,
): void {
  if (task.snapshot !== undefined) checkSnapshot(observed, history, task.snapshot)
  const { view } = observed.disk
  let last = task.snapshot === undefined ? view.lastIndex : task.snapshot.index
  let previousTerm = task.snapshot?.term
  const first = task.entries[0]
  if (first !== undefined && task.snapshot === undefined) {
    previousTerm = view.term(first.index - 1)
    checkTruncation(observed, history, first.index)
    last = Math.min(last, first.index - 1)
  }
  for (const entry of task.entries) {
    invariant(
      entry.index === last + 1 && previousTerm !== undefined && entry.term >= previousTerm && entry.term <= now.term,
      'writes join the log',
      () =>
        `replica ${observed.id} of term ${now.term} writes entry ${entry.index} of term ${entry.term} ` +
        `after ${last} of term ${previousTerm}`,
    )
    history.write(observed.id, entry, previousTerm)
    if (entry.kind === 'config') checkChange(observed, entry, task, now)
    last = entry.index
    previousTerm = entry.term
  }
}

function checkTruncation(observed: Observed, history: GroupHistory, from: LogIndex): void {
  const { view } = observed.disk
  const end = Math.min(view.lastIndex, history.committedTo)
  for (let index = from; index <= end; index++) {
    const term = view.term(index)
    invariant(
      term !== history.committed(index)?.term,
      'committed entries never change',
      () => `replica ${observed.id} replaces its entry ${index} of term ${term}, which is committed`,
    )
  }
}

/** One change at a time, each a legal step from the one before it. */
function checkChange(observed: Observed, entry: SimEntry, task: SimAppendTask, now: GroupStatus): void {
  const { view } = observed.disk
  const inTask = task.entries.findLast(other => other.index < entry.index && other.kind === 'config')
  const before =
    inTask?.config?.result ??
    (task.snapshot ?? view.configurationAt((task.entries[0] ?? entry).index - 1)).configuration
  const after = entry.config?.result
  const trouble = after === undefined ? 'it is missing' : illegalStep(before, after)
  invariant(
    trouble === undefined,
    'configurations follow in legal steps',
    () =>
      `replica ${observed.id} has entry ${entry.index} from ${textOf(before)} to ` +
      `${after === undefined ? 'nothing' : textOf(after)}: ${trouble}`,
  )
  if (now.role !== 'leader' || entry.term !== now.term) return
  const pending = [...view.configurationsAbove(now.commit), ...(inTask === undefined ? [] : [inTask.index])]
  invariant(
    pending.every(index => index >= entry.index),
    'one configuration change at a time',
    () => `leader ${observed.id} adds configuration ${entry.index} with ${pending.join(', ')} not committed`,
  )
}

/** A snapshot is of committed state, newer than the log that it replaces. */
function checkSnapshot(observed: Observed, history: GroupHistory, snapshot: SimSnapshot): void {
  const { index, term } = snapshot
  const committed = index === history.birthIndex ? history.birthTerm : history.committed(index)?.term
  invariant(
    committed === term,
    'snapshots are of committed state',
    () => `replica ${observed.id} installs a snapshot of ${index} in term ${term}, committed is term ${committed}`,
  )
  const { view } = observed.disk
  invariant(
    view.term(index) !== term,
    'a log that holds the snapshot is kept',
    () => `replica ${observed.id} replaces (${view.base.index}, ${view.lastIndex}] by a snapshot of ${index}`,
  )
  checkState(observed, history, imageOf(snapshot).state)
}

/** State-machine safety: one state per applied index, at all replicas, for ever. */
export function checkState(observed: Observed, history: GroupHistory, state: StateImage): void {
  const known = history.hashes.get(state.index)
  if (known === undefined) history.hashes.set(state.index, state.hash)
  invariant(
    known === undefined || known === state.hash,
    'state-machine safety',
    () => `replica ${observed.id} has state ${state.hash} at ${state.index}, another had ${known}`,
  )
}

/** Entries are applied when they are committed, and durable here. */
export function checkApply(observed: Observed, history: GroupHistory, entries: readonly SimEntry[]): void {
  const { durable } = observed.disk
  for (const entry of entries) {
    const committed = history.committed(entry.index)
    invariant(
      committed?.term === entry.term && committed.chain === chainOf(entry),
      'only committed entries are applied',
      () =>
        `replica ${observed.id} applies ${entry.index} of term ${entry.term} (chain ${chainOf(entry)}), ` +
        `committed is term ${committed?.term} (chain ${committed?.chain})`,
    )
    invariant(
      entry.index <= durable.base.index || durable.term(entry.index) === entry.term,
      'only durable entries are applied',
      () => `replica ${observed.id} applies ${entry.index}, its disk ends at ${durable.lastIndex}`,
    )
  }
}

/** What leaves at once promises nothing about storage, and speaks for a term only as its leader. */
export function checkMessage(observed: Observed, history: GroupHistory, message: Message<Payload>): void {
  checkRelease(observed, history, message)
  switch (message.type) {
    case 'append':
      checkOffice(observed, history, message.term, message.entries)
      checkEntries(observed, history, message.entries, message.prevIndex, message.prevTerm)
      checkSpeaker(observed, history, message, message.commit)
      break
    case 'heartbeat':
      checkSpeaker(observed, history, message, message.commit)
      break
    case 'snapshot':
      checkSpeaker(observed, history, message, message.snapshot.index)
      break
    case 'timeoutNow':
      checkSpeaker(observed, history, message, 0)
      break
    default:
      break
  }
}

function checkSpeaker(
  observed: Observed,
  history: GroupHistory,
  message: { readonly type: string; readonly term: Term },
  commit: LogIndex,
): void {
  const leader = history.leaders.get(message.term)
  invariant(
    leader?.replica === observed.id && leader.incarnation === observed.incarnation,
    'only the leader of a term speaks for it',
    () =>
      `replica ${observed.id} sends ${message.type} in term ${message.term}, which replica ${leader?.replica} leads`,
  )
  invariant(
    commit <= history.committedTo,
    'leaders tell of what is committed',
    () => `replica ${observed.id} sends ${message.type} with commit ${commit}, committed is ${history.committedTo}`,
  )
}

/** A former leader sends no entries that it has not handed to its storage: those may be replaced before they are sealed. */
function checkOffice(observed: Observed, history: GroupHistory, sent: Term, entries: readonly SimEntry[]): void {
  const { role, term } = observed.core.status()
  if (role === 'leader' && term === sent) return
  invariant(
    entries.every(entry => history.written(entry.index, entry.term) !== undefined),
    'no new entries are sent after stepping down',
    () => `replica ${observed.id}, ${role} of term ${term}, sends new entries as the leader of term ${sent}`,
  )
}

function checkEntries(
  observed: Observed,
  history: GroupHistory,
  entries: readonly SimEntry[],
  prevIndex: LogIndex,
  prevTerm: Term,
): void {
  let index = prevIndex
  let term = prevTerm
  for (const entry of entries) {
    invariant(
      entry.index === index + 1,
      'messages are contiguous',
      () => `replica ${observed.id} sends entry ${entry.index} after ${index}`,
    )
    history.write(observed.id, entry, term)
    index = entry.index
    term = entry.term
  }
}

/**
 * Nothing is promised before it is durable. Call when a response leaves, whatever it waited for. A later term on disk
 * keeps every promise of an earlier one: this replica neither votes nor acknowledges there again.
 */
export function checkRelease(observed: Observed, history: GroupHistory, message: Message<Payload>): void {
  const { id, disk } = observed
  const superseded = disk.term > message.term
  if (message.type === 'voteResponse' && message.granted) {
    if (superseded) history.voted(id, message.term, message.to)
    invariant(
      history.vote(id, message.term) === message.to,
      'votes are durable before they are given',
      () => `replica ${id} grants replica ${message.to} its vote in term ${message.term} before it is on disk`,
    )
  }
  if (message.type === 'appendResponse' && !message.rejected && message.index > 0) {
    invariant(
      superseded || (disk.durable.lastIndex >= message.index && disk.term >= message.term),
      'entries are durable before they are acknowledged',
      () =>
        `replica ${id} acknowledges ${message.index} in term ${message.term}, ` +
        `its disk ends at ${disk.durable.lastIndex} in term ${disk.term}`,
    )
  }
}

/** A read sees everything that was committed when it was asked for. */
export function checkRead(observed: Observed, floor: LogIndex, index: LogIndex): void {
  invariant(
    index >= floor,
    'reads are linearizable',
    () => `replica ${observed.id} confirms a read at ${index}, ${floor} was committed when it was asked for`,
  )
}
