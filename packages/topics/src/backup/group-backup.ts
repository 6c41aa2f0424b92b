/**
 * One group as a backup takes it, from any replica that runs: what its log starts from, its state at one point, and the
 * committed frames up to that point. Appends go on meanwhile and are not in it.
 *
 * Invariant: everything that was acknowledged before the call is at or below the point (ReadIndex), and nothing above the
 * point is handed out. State and point are of the same applied index.
 */
import type { BaseRecord, GroupLog, LogPosition } from '@millrace/log-store'
import { LogDamaged, LogError } from '@millrace/log-store'
import type { AppliedPosition, GroupHandle } from '@millrace/raft-node'
import type { Frame } from '@millrace/record'
import { MillraceError, nextOffsetAfter } from '@millrace/record'
import { digestOf } from '../checkpoint-entries.ts'
import { InvariantError } from '../invariant-error.ts'
import { encodeStateSnapshot } from '../state-snapshot.ts'
import type { StateEntry } from '../state-store.ts'

/** A group up to one point. */
export interface GroupBackup {
  readonly group: number
  /** What the log starts from: the frames begin after it. */
  readonly base: BaseRecord
  /** The last frame, or the base where there is none. */
  readonly point: LogPosition
  /** Of the state at the point; equal on every replica that has applied the same. */
  readonly stateHash: number
  /** The state at the point, in the form of a snapshot's content. */
  state(): AsyncIterable<Uint8Array>
  /**
   * All frames after the base up to the point, in order, in runs of at least one frame and at most about `bytesMax` bytes.
   *
   * @throws MillraceError CHANGE_IN_PROGRESS where the log was trimmed meanwhile: begin this group again;
   *   RANGE_DAMAGED where a range cannot be read on this node, and PARTITION_HALTED where nothing can
   */
  frames(bytesMax: number): AsyncIterable<readonly Frame[]>
}

/** A machine whose state can be copied between two batches of entries. */
export interface BackedUpMachine {
  readonly applied: AppliedPosition
  /** All of the state, as a full checkpoint would hold it. Nobody changes the entries afterwards. */
  stateEntries(): readonly StateEntry[]
}

/** @throws MillraceError NO_LEADER, THROTTLED, PARTITION_HALTED, SHUTTING_DOWN; as {@link GroupBackup.frames} */
export async function openGroupBackup(handle: GroupHandle, machine: BackedUpMachine): Promise<GroupBackup> {
  const { group, log } = handle
  await handle.waitApplied(await handle.readIndex())
  // From here to the end of the block nothing else runs: base, position and state belong together.
  const { base } = log
  const { applied } = machine
  const entries = machine.stateEntries()
  const point = applied.index <= base.index ? base : await readable(group, positionOf(log, applied))
  const stateApplied = { index: point.index, term: point.term }
  return {
    group,
    base,
    point: pointOf(point),
    stateHash: digestOf(entries),
    state: () => encodeStateSnapshot(stateApplied, entries),
    frames: bytesMax => framesOf(log, base.index + 1, point.index + 1, bytesMax),
  }
}

function pointOf({ index, term, chain, timestamp, nextOffset }: LogPosition): LogPosition {
  return { index, term, chain, timestamp, nextOffset }
}

async function positionOf(log: GroupLog, { index, term }: AppliedPosition): Promise<LogPosition> {
  const [frame] = await log.read(index, index + 1, 1)
  if (frame === undefined || frame.header.term !== term) {
    throw new InvariantError(`group ${log.group}: entry ${index} of term ${term} was applied and is not in the log`)
  }
  const { chain, timestamp } = frame.header
  return { index, term, chain, timestamp, nextOffset: nextOffsetAfter(frame.header) }
}

async function* framesOf(log: GroupLog, from: number, end: number, bytesMax: number): AsyncGenerator<readonly Frame[]> {
  for (let index = from; index < end; ) {
    const frames = await readable(log.group, log.read(index, end, bytesMax))
    const last = frames.at(-1)
    if (last === undefined) throw new InvariantError(`group ${log.group}: nothing could be read from entry ${index} on`)
    index = last.header.index + 1
    yield frames
  }
}

/** Refusals of the log as the caller of a backup should hear them. */
async function readable<T>(group: number, read: Promise<T>): Promise<T> {
  try {
    return await read
  } catch (error) {
    if (!(error instanceof LogError)) throw error
    if (error.code === 'COMPACTED') {
      const message = `group ${group} was trimmed while it was copied; copy it again`
      throw new MillraceError('CHANGE_IN_PROGRESS', message, { cause: error })
    }
    throw new MillraceError(codeOf(error), error.message, { cause: error })
  }
}

function codeOf(error: LogError): 'RANGE_DAMAGED' | 'SHUTTING_DOWN' | 'PARTITION_HALTED' {
  if (error instanceof LogDamaged) return 'RANGE_DAMAGED'
  return error.code === 'CLOSED' ? 'SHUTTING_DOWN' : 'PARTITION_HALTED'
}
