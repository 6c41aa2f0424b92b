/**
 * The entry that moves a partition's log start, and its way through the log: the leader proposes it, every replica applies
 * it, and only then each one trims its own log.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { LogStartEntrySchema } from '@millrace/proto'
import type { GroupHandle } from '@millrace/raft-node'
import { FrameCodec, FrameKind, MillraceError, NO_PRODUCER } from '@millrace/record'
import { droppedProposal, notLeading } from './proposal-errors.ts'

export function encodeLogStart(offset: number): Uint8Array {
  return toBinary(LogStartEntrySchema, create(LogStartEntrySchema, { logStartOffset: BigInt(offset) }))
}

/** @returns undefined where it says something that this version does not know */
export function decodeLogStart(payload: Uint8Array): number | undefined {
  try {
    const { logStartOffset, $unknown } = fromBinary(LogStartEntrySchema, payload)
    return $unknown === undefined && logStartOffset <= Number.MAX_SAFE_INTEGER ? Number(logStartOffset) : undefined
  } catch {
    // Bytes that are no message; the checksum of the frame holds, so that is how they were written.
    return undefined
  }
}

/**
 * Proposes that the log starts at `offset`, in a group that is led here.
 *
 * @param offset at most the high watermark
 * @param name of the partition, for errors
 * @returns when it is committed and applied here
 * @throws MillraceError NOT_LEADER and the like where nothing was stored; LEADERSHIP_LOST where nobody can tell
 */
export function proposeLogStart(handle: GroupHandle, name: string, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const body = {
      kind: FrameKind.logStart,
      codec: FrameCodec.none,
      recordCount: 0,
      producerId: NO_PRODUCER,
      producerEpoch: 0,
      sequence: 0,
      payload: encodeLogStart(offset),
    }
    const taken = handle.propose(body, {
      applied: () => resolve(),
      failed(outcome, reason) {
        if (outcome === 'not_stored') reject(notLeading(handle, name, reason))
        else reject(new MillraceError('LEADERSHIP_LOST', `${name} may or may not start at ${offset} now: ${reason}`))
      },
    })
    if (taken.type === 'dropped') reject(droppedProposal(handle, name, taken))
  })
}
