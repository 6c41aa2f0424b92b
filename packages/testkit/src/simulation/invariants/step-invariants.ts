/** What must hold after every single step of a replica: terms, votes, leaders, commits, the configuration in force. */
import type { GroupStatus, LogIndex } from '@millrace/raft-core'
import { hasQuorum, isVoter, sameConfiguration, textOf } from './configuration.ts'
import type { GroupHistory } from './group-history.ts'
import type { Observed } from './observed.ts'
import { invariant } from './violation.ts'

/** Everything below but {@link checkDurable}, which also needs what was asked of the disk. */
export function checkStep(observed: Observed, history: GroupHistory, before: GroupStatus, now: GroupStatus): void {
  checkMonotonic(observed, before, now)
  if (now.role === 'leader') {
    const isNew = before.role !== 'leader' || before.term !== now.term
    if (isNew) {
      checkCandidate(observed, now)
      checkLeader(observed, history, now)
    }
  }
  if (now.commit !== before.commit) checkCommit(observed, history, now)
  if (now.configurationIndex !== before.configurationIndex || now.applied !== before.applied) {
    checkConfiguration(observed, history, now)
  }
}

/** Term and vote of one process never go back, a vote never changes within its term; commit and applied only grow. */
function checkMonotonic(observed: Observed, before: GroupStatus, now: GroupStatus): void {
  const who = () => `replica ${observed.id} went from ${summary(before)} to ${summary(now)}`
  invariant(now.term >= before.term, 'term is monotonic', who)
  const voteStands = now.term > before.term || before.vote === 0 || now.vote === before.vote
  invariant(voteStands, 'one vote per term', who)
  invariant(now.commit >= before.commit, 'commit is monotonic', who)
  invariant(now.applied >= before.applied, 'applied is monotonic', who)
  invariant(now.applied <= now.applying && now.applying <= now.commit && now.commit <= now.lastIndex, 'log order', who)
}

/** What the core takes for durable must be what the disk holds. */
export function checkDurable(observed: Observed, now: GroupStatus): void {
  const { durable, installing } = observed.disk
  const index = now.durableIndex
  // Between asking for a snapshot's installation and its end the core is ahead by rule.
  if (index < durable.base.index || installing) return
  invariant(
    durable.term(index) === observed.core.term(index),
    'durable only after the write',
    () =>
      `replica ${observed.id} takes ${index} of term ${observed.core.term(index)} for durable, ` +
      `its disk holds (${durable.base.index}, ${durable.lastIndex}] with term ${durable.term(index)} there`,
  )
}

/** One leader per term, elected by durable votes of a majority and its own, with everything in its log that earlier terms committed. */
function checkLeader(observed: Observed, history: GroupHistory, now: GroupStatus): void {
  const { id, incarnation } = observed
  const other = history.leaders.get(now.term)
  if (other?.replica === id && other.incarnation === incarnation) return
  invariant(
    other === undefined,
    'one leader per term',
    () =>
      `replica ${id} (start ${incarnation}) leads term ${now.term}, ` +
      `which replica ${other?.replica} (start ${other?.incarnation}) led`,
  )
  history.leaders.set(now.term, { replica: id, incarnation })
  invariant(
    hasQuorum(now.configuration, voter => history.vote(voter, now.term) === id),
    'leaders are elected by durable votes',
    () => `replica ${id} leads term ${now.term} without a durable majority of ${textOf(now.configuration)}`,
  )
  // The majority may be one of others. Without its own vote on disk it would, after a crash, ask for theirs again.
  invariant(
    history.vote(id, now.term) === id,
    'a leader has its own term on disk',
    () => `replica ${id} leads term ${now.term}, and its own vote in it is not durable`,
  )
  const last = committedBefore(history, now.term)
  invariant(
    now.lastIndex >= last && (last <= now.baseIndex || observed.core.term(last) === termAt(history, last)),
    'leader completeness',
    () =>
      `replica ${id} leads term ${now.term} with a log up to ${now.lastIndex} and term ${observed.core.term(last)} ` +
      `at ${last}, where term ${termAt(history, last)} was committed`,
  )
}

/** Only a leader commits anew: entries of its term that a majority of its active configuration holds. */
function checkCommit(observed: Observed, history: GroupHistory, now: GroupStatus): void {
  const { commit } = now
  if (now.role === 'leader' && commit > history.committedTo) {
    const term = observed.core.term(commit)
    invariant(
      term === now.term,
      'commit by count only in the own term',
      () => `replica ${observed.id} of term ${now.term} committed ${commit} of term ${term}`,
    )
    invariant(
      hasQuorum(now.configuration, voter => history.holds(voter, commit, now.term)),
      'commit needs a majority',
      () =>
        `replica ${observed.id} committed ${commit} of term ${term}, which no majority of ` +
        `${textOf(now.configuration)} holds`,
    )
    for (let index = history.committedTo + 1; index <= commit; index++) recordCommit(observed, history, index)
  }
  const known = history.committedTo
  invariant(
    commit <= known,
    'followers commit what was committed',
    () => `replica ${observed.id} has commit ${commit}, no leader has committed beyond ${known}`,
  )
  const term = observed.core.term(commit)
  invariant(
    term === undefined || term === termAt(history, commit),
    'committed entries never change',
    () => `replica ${observed.id} has term ${term} at ${commit}, where term ${termAt(history, commit)} was committed`,
  )
}

function recordCommit(observed: Observed, history: GroupHistory, index: LogIndex): void {
  const term = observed.core.term(index)
  const written = term === undefined ? undefined : history.written(index, term)
  invariant(
    term !== undefined && written !== undefined,
    'commit needs a majority',
    () => `replica ${observed.id} committed ${index} of term ${term}, which was never written`,
  )
  const { chain, command } = written
  history.commit({ term, chain, command, configuration: observed.disk.view.entry(index)?.config?.result })
}

/** The configuration in force is the one of the committed entry that it claims to come from, and no applied one is missing. */
function checkConfiguration(observed: Observed, history: GroupHistory, now: GroupStatus): void {
  const { configurationIndex } = now
  invariant(
    configurationIndex <= Math.max(now.commit, history.birthIndex) || now.configuration.voters.length === 0,
    'configurations are applied when committed',
    () => `replica ${observed.id} is under configuration ${configurationIndex} with commit ${now.commit}`,
  )
  const source = history.committed(configurationIndex)?.configuration
  invariant(
    source === undefined || sameConfiguration(source, now.configuration),
    'configurations come from the log',
    () =>
      `replica ${observed.id} is under ${textOf(now.configuration)}, entry ${configurationIndex} says ` +
      `${source === undefined ? 'nothing' : textOf(source)}`,
  )
  const newest = history.configurationIndexAt(now.applied)
  invariant(
    configurationIndex >= newest,
    'applied configurations are in force',
    () =>
      `replica ${observed.id} applied ${now.applied} and is under configuration ${configurationIndex}, not ${newest}`,
  )
}

/** Whoever leads was a voter when it was elected. */
function checkCandidate(observed: Observed, now: GroupStatus): void {
  invariant(
    isVoter(now.configuration, observed.id),
    'only voters are elected',
    () => `replica ${observed.id} was elected in term ${now.term} under ${textOf(now.configuration)}`,
  )
}

/** The last entry that was committed before a term; who is late to lead it does not know of what came after. */
function committedBefore(history: GroupHistory, term: number): LogIndex {
  let last = history.committedTo
  while ((history.committed(last)?.term ?? 0) >= term) last--
  return last
}

function termAt(history: GroupHistory, index: LogIndex): number | undefined {
  return index === history.birthIndex ? history.birthTerm : history.committed(index)?.term
}

function summary(status: GroupStatus): string {
  const { term, vote, role, commit, applying, applied, lastIndex } = status
  return `${role} term ${term} vote ${vote} applied ${applied} applying ${applying} commit ${commit} last ${lastIndex}`
}
