/** Logs whose newest segments lie over trimmed ones: what a log is that has been written to for longer than it keeps. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { GroupLog, LogPosition, LogStore } from '@millrace/log-store'
import { append, createLog, openStore, sealFrames } from './store-log.ts'

const MIB = 1_048_576
const TRASH_KEEP_MS = 20

export interface RecycledLogs {
  readonly store: LogStore
  readonly logs: readonly GroupLog[]
}

/** Opens a store in `dir` with `groups` logs, each of which can be appended `bytesMax` bytes over an older file. */
export async function openRecycledLogs(dir: string, groups: number, bytesMax: number): Promise<RecycledLogs> {
  const segmentBytesMax = Math.ceil(bytesMax / MIB + 1) * MIB
  const options = {
    segmentBytesMax,
    trashKeepMs: TRASH_KEEP_MS,
    spareSegmentsMax: groups,
    trashSegmentsMax: 2 * groups,
  }
  const store = await openStore(dir, options)
  const logs = await Promise.all(Array.from({ length: groups }, (_, at) => createLog(store, at + 1)))
  // First all of them: a new segment would take what another log has given up.
  const trimmed: LogPosition[] = []
  for (const log of logs) {
    await fillSegment(log, segmentBytesMax)
    trimmed.push(log.end)
    await fillSegment(log, segmentBytesMax)
  }
  for (const [at, log] of logs.entries()) await log.trimPrefix({ ...log.base, ...trimmed[at] })
  while ((await readdir(join(dir, 'spare'))).length < groups) await delay(TRASH_KEEP_MS)
  return { store, logs }
}

/** Appends until the newest segment is full: the next write begins another. */
async function fillSegment(log: GroupLog, bytes: number): Promise<void> {
  const payload = new Uint8Array(MIB)
  for (let written = 0; written < bytes; written += MIB) await append(log, sealFrames(log, 1, payload))
}
