/**
 * One BackUpGroup call: the head, the state, then the frames as they were stored. The next piece is read when the last one
 * has left, so a slow receiver holds one piece, and the log is free to be trimmed under it: then the call says so.
 */
import { create } from '@bufbuild/protobuf'
import type { LogPosition } from '@millrace/log-store'
import {
  type BackUpGroupRequest,
  type BackUpGroupResponse,
  BackUpGroupResponseSchema,
  BackupHeadSchema,
  type BackupPosition,
  BackupPositionSchema,
} from '@millrace/proto'
import { type Frame, MillraceError } from '@millrace/record'
import type { GroupBackup } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'

/** They read whole logs: few at a time, so that readers and followers keep their share of the disk. */
const BACKUP_STREAMS_MAX = 4
const PIECE_BYTES = 1_048_576

/** @param signal fires when the call is over or the node stops */
export async function* backUpGroup(
  context: BrokerContext,
  { group }: BackUpGroupRequest,
  signal: AbortSignal,
): AsyncGenerator<BackUpGroupResponse> {
  const { counters } = context
  if (counters.backupStreams >= BACKUP_STREAMS_MAX) throw tooMany(context)
  counters.backupStreams++
  try {
    yield* parts(context, await context.topics.backUp(Number(group)), signal)
  } finally {
    counters.backupStreams--
  }
}

async function* parts(
  context: BrokerContext,
  backup: GroupBackup,
  signal: AbortSignal,
): AsyncGenerator<BackUpGroupResponse> {
  yield response({ case: 'head', value: head(context, backup) })
  for await (const value of backup.state()) {
    if (signal.aborted) throw ended(context)
    yield response({ case: 'state', value })
  }
  for await (const frames of backup.frames(PIECE_BYTES)) {
    if (signal.aborted) throw ended(context)
    yield response({ case: 'frames', value: joined(frames) })
  }
}

function response(part: BackUpGroupResponse['part']): BackUpGroupResponse {
  return create(BackUpGroupResponseSchema, { part })
}

function head({ clusterId, version }: BrokerContext, { group, base, point, stateHash }: GroupBackup) {
  return create(BackupHeadSchema, {
    clusterId,
    version,
    group: BigInt(group),
    base: position(base),
    baseConfiguration: base.configuration,
    baseConfigurationIndex: BigInt(base.configurationIndex),
    point: position(point),
    stateHash,
  })
}

function position({ index, term, chain, timestamp, nextOffset }: LogPosition): BackupPosition {
  return create(BackupPositionSchema, {
    index: BigInt(index),
    term: BigInt(term),
    chain,
    timestamp: BigInt(timestamp),
    nextOffset: BigInt(nextOffset),
  })
}

/** One copy, unless there is one frame. */
function joined(frames: readonly Frame[]): Uint8Array {
  return frames.length === 1 ? frames[0]!.bytes : Buffer.concat(frames.map(frame => frame.bytes))
}

function ended({ nodeId, stopping }: BrokerContext): MillraceError {
  if (stopping.aborted) return new MillraceError('SHUTTING_DOWN', `node ${nodeId} is stopping`)
  return new MillraceError('CANCELLED', 'the caller has ended the backup of the group')
}

function tooMany({ nodeId }: BrokerContext): MillraceError {
  return new MillraceError(
    'THROTTLED',
    `node ${nodeId} already streams ${BACKUP_STREAMS_MAX} groups to backups; try again`,
  )
}
