/**
 * What a group starts from: the state of the core as recovery and the state machine's checkpoint prove it.
 *
 * Commit at start is max(commit of the newest valid round, base index, a), where a is the checkpoint's applied index if
 * this log holds an entry with the checkpoint's (index, term). State that came from elsewhere says nothing about this
 * log, so without such an entry it is not counted.
 *
 * A log may have holes: what is in them is not known here, and the core is told where they are.
 */
import {
  type BaseRecord,
  type GroupLog,
  LogDamaged,
  type LogPosition,
  positionAfter,
  type RecoveredLog,
} from '@millrace/log-store'
import type { Entry, InitialHole, InitialState, Input, LogIndex, Term } from '@millrace/raft-core'
import { type Frame, framePayload } from '@millrace/record'
import { BIRTH_INDEX } from './birth-record.ts'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import { type EntryPayload, entriesOfFrames } from './entry-frame.ts'
import type { GroupConfiguration } from './group-handle.ts'
import { LogTail } from './log-tail.ts'
import type { AppliedPosition } from './state-machine.ts'

/** Bytes of recent entries handed to the core at start; older ones are fetched when they are needed. */
const PRELOAD_BYTES_MAX = 4 * 1024 * 1024
const READ_BYTES = 1024 * 1024

export interface GroupOpening {
  readonly initial: InitialState<EntryPayload>
  readonly tail: LogTail
  /** The configuration in force, and every later one in the log that is not known to be committed. */
  readonly configuration: GroupConfiguration
  readonly configurationIndex: LogIndex
  readonly unapplied: readonly GroupConfiguration[]
  /** The state ends before the log begins: it has to come from another replica. */
  readonly isStateMissing: boolean
}

/**
 * Reads what the core has to know of a recovered log.
 *
 * @param takesStates the state machine can be given the state of another replica: then its own may be missing
 * @throws Error when the state machine holds something else than this log says was committed, or when the log no longer
 *   reaches back to what the state machine needs next
 */
export async function openGroup(
  log: GroupLog,
  machineApplied: AppliedPosition,
  takesStates = false,
): Promise<GroupOpening> {
  const { recovered } = log
  if (log.end.index !== recovered.last.index || log.end.chain !== recovered.last.chain) {
    throw new Error(`group ${log.group} was written since its log was recovered: reopen the log store first`)
  }
  const commit = startCommit(log, machineApplied)
  const isStateMissing =
    takesStates && recovered.base.index > BIRTH_INDEX && machineApplied.index < recovered.base.index
  if (!isStateMissing && machineApplied.index > 0 && machineApplied.index < recovered.base.index) {
    throw new Error(
      `state ends at index ${machineApplied.index}, the log begins after ${recovered.base.index}: a checkpoint from another replica is needed`,
    )
  }
  const committed = recovered.configurations.filter(frame => frame.header.index <= commit)
  const newest = committed.at(-1)
  const later = recovered.configurations.filter(frame => frame.header.index > commit)
  const configuration = decodeGroupConfiguration(newest ? framePayload(newest) : recovered.base.configuration)
  const configurationIndex = newest?.header.index ?? recovered.base.configurationIndex
  const { tail, entries } = await readTail(log, commit)
  const applied = Math.min(Math.max(machineApplied.index, recovered.base.index), commit)
  return {
    initial: {
      hardState: { ...startBallot(recovered), commit },
      base: { index: recovered.base.index, term: recovered.base.term },
      lastIndex: recovered.last.index,
      terms: recovered.terms,
      configuration,
      configurationIndex,
      baseConfiguration: decodeGroupConfiguration(recovered.base.configuration),
      baseConfigurationIndex: recovered.base.configurationIndex,
      applied,
      entries,
      unappliedConfigIndexes: later.map(frame => frame.header.index),
      holes: initialHoles(log),
      stateMissing: isStateMissing,
      ...(recovered.uncertainUntil === undefined ? {} : { uncertainUntil: recovered.uncertainUntil }),
    },
    isStateMissing,
    tail,
    configuration,
    configurationIndex,
    unapplied: later.map(frame => decodeGroupConfiguration(framePayload(frame))),
  }
}

/**
 * What the core is told when its log was trimmed. Changes below what the state held at the opening are never applied
 * again, so the core cannot know which of them is in force at the new base: its record says it.
 */
export function trimmedTo(base: BaseRecord): Extract<Input<EntryPayload>, { type: 'compacted' }> {
  const { index, term, configurationIndex } = base
  return {
    type: 'compacted',
    index,
    term,
    configuration: decodeGroupConfiguration(base.configuration),
    configurationIndex,
  }
}

/** A log proves that its last term has begun, whatever the vote file remembers. */
function startBallot({ ballot, last }: RecoveredLog): { term: Term; vote: number } {
  return ballot.term >= last.term ? { term: ballot.term, vote: ballot.vote } : { term: last.term, vote: 0 }
}

/** What of the log cannot be read. The configurations that were read are all up to the commit index of the newest round. */
function initialHoles({ holes, recovered }: GroupLog): readonly InitialHole[] {
  const unread = recovered.unreadConfiguration ?? 0
  return holes.map(({ before, last }) => ({
    first: before.index + 1,
    last: last.index,
    oneTerm: before.term === last.term,
    mayHoldConfiguration: last.index > recovered.commit || before.index < unread,
  }))
}

function startCommit(log: GroupLog, applied: AppliedPosition): LogIndex {
  const { recovered } = log
  const known = Math.max(recovered.commit, recovered.base.index)
  const term = termAt(log, applied.index)
  if (term === applied.term) return Math.min(recovered.last.index, Math.max(known, applied.index))
  if (term !== undefined && applied.index <= known) {
    throw new Error(
      `state has applied index ${applied.index} of term ${applied.term}, the log holds term ${term} there`,
    )
  }
  return known
}

/** Term of an entry of the log or of its base; undefined where the log has none, or where it cannot be read. */
function termAt({ recovered: { base, last, terms }, holes }: GroupLog, index: LogIndex): Term | undefined {
  if (index === base.index) return base.term
  if (index < base.index || index > last.index) return undefined
  const hole = holes.find(each => each.before.index < index && index < each.last.index)
  if (hole !== undefined && hole.before.term !== hole.last.term) return undefined
  return terms.findLast(run => run.first <= index)?.term
}

/** The tail from the commit index on, and as many of the newest entries as fit in memory. */
async function readTail(log: GroupLog, commit: LogIndex): Promise<{ tail: LogTail; entries: Entry<EntryPayload>[] }> {
  const { base, last } = log.recovered
  if (last.index === base.index) return { tail: new LogTail(log.group, base), entries: [] }
  if (commit === last.index) return { tail: new LogTail(log.group, last), entries: [] }
  const tail = new LogTail(log.group, commit === base.index ? base : await positionBelow(log, commit))
  let frames: Frame[] = []
  while (tail.lastIndex < last.index) {
    const read = await readable(log, tail.lastIndex + 1, last.index + 1)
    if (read instanceof LogDamaged) {
      tail.skip(read.hole.last)
      frames = []
    } else {
      for (const frame of read) tail.append(frame)
      frames = newest([...frames, ...read])
    }
  }
  return { tail, entries: entriesOfFrames(frames) }
}

/** Where the log stands after the last entry at or below `index` of which that is known. */
async function positionBelow(log: GroupLog, index: LogIndex): Promise<LogPosition> {
  const read = await readable(log, index, index + 1)
  if (!(read instanceof LogDamaged)) return positionAfter(read[0]!)
  const { before, last } = read.hole
  return last.index === index ? last : before
}

async function readable(log: GroupLog, from: LogIndex, to: LogIndex): Promise<readonly Frame[] | LogDamaged> {
  try {
    return await log.read(from, to, READ_BYTES)
  } catch (error) {
    if (error instanceof LogDamaged) return error
    throw error
  }
}

/** The longest run at the end that fits the budget. */
function newest(frames: Frame[]): Frame[] {
  let bytes = 0
  for (let i = frames.length - 1; i >= 0; i--) {
    bytes += frames[i]!.bytes.length
    if (bytes > PRELOAD_BYTES_MAX) return frames.slice(i + 1)
  }
  return frames
}
