/**
 * The leader's side of replication: what to send to whom, and when an entry is committed. Raft paper, sections 5.3 and
 * 5.4.2. Messages leave in parallel with the leader's own write; it counts itself when its storage says so.
 */
import type { Entry, LogIndex, ReplicaId } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { ProposedEntry } from './input.ts'
import { bytesOf } from './log/entry-window.ts'
import type { SnapshotMeta } from './message.ts'
import type { Progress } from './progress/progress.ts'

/**
 * Sends the next entries to `to`, or a snapshot where they are gone.
 *
 * @param sendIfEmpty also without entries: a probe, or news of the commit index
 * @returns whether a message left
 */
export function sendAppend<P>(s: GroupState<P>, to: ReplicaId, sendIfEmpty: boolean): boolean {
  const progress = s.tracker.progress.get(to)
  if (progress === undefined || progress.paused) return false
  const { log } = s
  if (log.term(progress.next - 1) === undefined) {
    return log.holes.hidingTerm(progress.next - 1) ? waitForRepair(s, progress) : sendSnapshot(s, to, progress)
  }

  // With a full window only an empty message leaves: if all messages in flight were lost, it is what finds out.
  const windowFull = progress.state === 'replicate' && progress.inflights.full
  let entries: readonly Entry<P>[] = []
  if (!windowFull && progress.next <= log.lastIndex) {
    if (progress.next < log.window.first) return sendFromStorage(s, to, progress)
    entries = log.window.slice(progress.next, log.lastIndex + 1, messageBytesLeft(s, progress))
  }
  if (entries.length === 0 && !sendIfEmpty) return false
  emitAppend(s, to, progress, entries)
  return true
}

/** Nobody knows what the next entries of this peer follow: it is asked again when the next heartbeat is answered. */
function waitForRepair<P>(s: GroupState<P>, progress: Progress): false {
  progress.flowPaused = true
  s.trace({ type: 'entryMissed', id: s.id, index: progress.next - 1 })
  return false
}

function messageBytesLeft<P>(s: GroupState<P>, progress: Progress): number {
  return Math.min(s.settings.messageBytesMax, progress.inflights.bytesLeft)
}

function emitAppend<P>(s: GroupState<P>, to: ReplicaId, progress: Progress, entries: readonly Entry<P>[]): void {
  const prevIndex = progress.next - 1
  s.send({ type: 'append', to, prevIndex, prevTerm: s.log.term(prevIndex)!, commit: s.log.commit, entries })
  progress.sentEntries(entries.length, bytesOf(entries))
  progress.sentCommit = s.log.commit
}

/**
 * The next entries have left memory. A peer whose match is unknown is probed without entries first: reading a range
 * from disk that turns out not to be wanted costs more than a round trip.
 */
function sendFromStorage<P>(s: GroupState<P>, to: ReplicaId, progress: Progress): boolean {
  if (progress.state === 'probe') {
    emitAppend(s, to, progress, [])
    progress.flowPaused = true
    return true
  }
  // One at a time, even if the outstanding one is no longer wanted.
  if (progress.fetch !== 0) return false
  s.lastFetchId++
  progress.fetch = s.lastFetchId
  s.fetches.push({
    id: s.lastFetchId,
    purpose: 'send',
    peer: to,
    from: progress.next,
    to: s.log.window.first,
    bytesMax: messageBytesLeft(s, progress),
    termAtRequest: s.term,
  })
  return false
}

/** Sends what was read from storage, and more as long as the window allows. */
export function sendFetched<P>(s: GroupState<P>, to: ReplicaId, from: LogIndex, entries: readonly Entry<P>[]): void {
  const progress = s.tracker.progress.get(to)!
  const wanted = progress.state === 'replicate' && !progress.paused && progress.next === from
  if (wanted && s.log.term(from - 1) !== undefined) {
    // What does not fit the log is as good as nothing: the next heartbeat tries again.
    if (joins(s, from, entries)) emitAppend(s, to, progress, entries)
    else progress.flowPaused = true
  }
  sendAll(s, to)
}

/** Whether `entries` are what this log says it holds from `from` on. */
export function joins<P>(s: GroupState<P>, from: LogIndex, entries: readonly Entry<P>[]): boolean {
  return (
    entries.length > 0 &&
    entries.every((entry, i) => entry.index === from + i && s.log.term(entry.index) === entry.term)
  )
}

/** Fills the window of a peer. Sends nothing without entries. */
export function sendAll<P>(s: GroupState<P>, to: ReplicaId): void {
  while (sendAppend(s, to, false)) {
    // Each call sends one message and advances the window.
  }
}

export function broadcastAppend<P>(s: GroupState<P>): void {
  for (const id of s.tracker.members) {
    if (id !== s.id) sendAppend(s, id, true)
  }
}

/** A heartbeat never tells a peer of commits beyond what it is known to hold. */
export function broadcastHeartbeat<P>(s: GroupState<P>, context: number): void {
  for (const id of s.tracker.members) {
    const progress = s.tracker.progress.get(id)
    if (id === s.id || progress === undefined) continue
    const commit = Math.min(progress.match, s.log.commit)
    s.send({ type: 'heartbeat', to: id, commit, context })
    // Also when that is less than before: what was sent earlier may have been lost, and is then sent again.
    progress.sentCommit = commit
  }
}

/** A peer that has not been heard from is not sent a snapshot: it would be paused for something it may never get. */
function sendSnapshot<P>(s: GroupState<P>, to: ReplicaId, progress: Progress): boolean {
  if (!progress.recentActive) return false
  const snapshot = snapshotToSend(s)
  if (snapshot === undefined) {
    s.snapshotWanted = true
    return false
  }
  progress.becomeSnapshot(snapshot.index)
  s.send({ type: 'snapshot', to, snapshot })
  s.trace({ type: 'snapshotSent', id: s.id, peer: to, index: snapshot.index })
  return true
}

/** The newest snapshot that the host offered, else one of the log's base, whose state the host finds by its index. */
function snapshotToSend<P>(s: GroupState<P>): SnapshotMeta<P> | undefined {
  const { base } = s.log
  if (s.offeredSnapshot !== undefined && s.offeredSnapshot.index >= base.index) return s.offeredSnapshot
  const dated = s.history.at(base.index)
  if (dated === undefined || base.index === 0) return undefined
  return {
    index: base.index,
    term: base.term,
    configuration: dated.configuration,
    configurationIndex: dated.index,
    payload: null,
  }
}

/**
 * Commits what a quorum holds, if it is of this term: an older entry is committed only by a later one of this term
 * (Raft paper, section 5.4.2 and figure 8).
 */
export function maybeCommit<P>(s: GroupState<P>): boolean {
  const index = s.tracker.committed()
  if (index <= s.log.commit || s.log.term(index) !== s.term) return false
  commitTo(s, index)
  return true
}

export function commitTo<P>(s: GroupState<P>, index: LogIndex): void {
  if (!s.log.commitTo(index)) return
  s.uncommitted.committedTo(index)
  s.trace({ type: 'committed', id: s.id, term: s.term, index })
}

/** An entry before it has its place. */
export type EntryDraft<P> = Pick<Entry<P>, 'kind' | 'size' | 'config'> & { readonly payload: P | null }

/**
 * Appends to the leader's own log. Its acknowledgement of itself waits for storage like everybody else's.
 *
 * @returns the index of the first entry
 */
export function appendOwn<P>(s: GroupState<P>, drafts: readonly EntryDraft<P>[]): LogIndex {
  const first = s.log.lastIndex + 1
  const entries = drafts.map((draft, i): Entry<P> => {
    const entry = { index: first + i, term: s.term, kind: draft.kind, size: draft.size, payload: draft.payload }
    return draft.config === undefined ? entry : { ...entry, config: draft.config }
  })
  s.log.append(entries)
  s.uncommitted.accepted(s.log.lastIndex, bytesOf(entries))
  s.send({ type: 'appendResponse', to: s.id, index: s.log.lastIndex, rejected: false, hintIndex: 0, hintTerm: 0 })
  return first
}

/** Drafts of a host's proposal. */
export function draftsOf<P>(entries: readonly ProposedEntry<P>[]): EntryDraft<P>[] {
  return entries.map(entry => ({ kind: 'normal', size: entry.size, payload: entry.payload }))
}
