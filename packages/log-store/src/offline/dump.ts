/**
 * What is in the logs of a data folder, entry by entry, in the order of the log. Everything is verified before it is
 * handed out; what cannot be verified is one item that says where. Streams: one round in memory at a time.
 */
import { type FrameHeader, FrameKind } from '@millrace/record'
import { LogError } from '../log-store.ts'
import { ROUND_RECORD_BYTES, type RoundRecord } from '../round-record.ts'
import { segmentPath } from '../segment.ts'
import type { SegmentHeader } from '../segment-header.ts'
import { groupFolder } from '../store-context.ts'
import { listGroupFiles } from './group-files.ts'
import { listGroups, type OfflineFolder, openOffline } from './offline-folder.ts'
import { walkRounds } from './round-walk.ts'
import { readSegmentHeader } from './segment-file.ts'
import type { NamedSegment } from './verify-segment.ts'

export interface DumpOptions {
  /** Default: all groups. */
  readonly group?: number
  /** First raft index to show. Default: the first in the log. */
  readonly from?: number
}

/** A kind of frame by its name, or `kind N` where this version does not know it. */
export type FrameKindName = keyof typeof FrameKind | `kind ${number}`

export type DumpItem =
  | { readonly type: 'segment'; readonly file: string; readonly limit: number; readonly header: SegmentHeader }
  | { readonly type: 'round'; readonly file: string; readonly record: RoundRecord }
  | DumpedFrame
  /** Bytes that are not what they should be; what can be read after them follows. */
  | { readonly type: 'damage'; readonly file: string; readonly position: number; readonly what: string }
  /** The end of a log that is no complete round: never acknowledged, or damage. Only verification can tell. */
  | { readonly type: 'incomplete'; readonly file: string; readonly position: number; readonly what: string }

export interface DumpedFrame {
  readonly type: 'frame'
  /** Relative to the data folder. */
  readonly file: string
  readonly position: number
  readonly bytes: number
  readonly kind: FrameKindName
  readonly header: FrameHeader
}

/**
 * Everything in the logs of a data folder. Holds the folder's lock until the iteration ends.
 *
 * @throws LogError `FOLDER_IN_USE` naming the process, `IDENTITY` where it is no data folder, `OUT_OF_RANGE` where there
 *   is no such group, `IO`
 */
export async function* dumpLog(path: string, options: DumpOptions = {}): AsyncGenerator<DumpItem, void, undefined> {
  const folder = await openOffline(path)
  try {
    const groups = await listGroups(folder.disk, folder.logDir)
    const { group } = options
    if (group !== undefined && !groups.includes(group))
      throw new LogError('OUT_OF_RANGE', `${folder.path} has no group ${group}; it has ${groups.join(', ') || 'none'}`)
    for (const each of group === undefined ? groups : [group]) yield* dumpGroup(folder, each, options.from ?? 0)
  } finally {
    await folder.close()
  }
}

async function* dumpGroup(folder: OfflineFolder, group: number, from: number): AsyncGenerator<DumpItem> {
  const files = await listGroupFiles(folder.disk, groupFolder(folder.logDir, group))
  const first = Math.max(from, files.baseIndex + 1)
  for (const name of files.segments.live)
    if (name.limit >= first) yield* dumpSegment(folder, files.folder, group, name, first)
}

async function* dumpSegment(
  folder: OfflineFolder,
  groupDir: string,
  group: number,
  name: NamedSegment,
  first: number,
): AsyncGenerator<DumpItem> {
  const path = segmentPath(groupDir, name.base, name.generation)
  const shown = path.slice(folder.path.length + 1)
  const file = await folder.disk.open(path, 'read')
  try {
    const header = await readSegmentHeader(file, group, name)
    if ('what' in header) {
      yield { type: 'damage', file: shown, ...header }
      return
    }
    yield { type: 'segment', file: shown, limit: name.limit, header }
    for await (const step of walkRounds(file, header)) {
      if (step.kind === 'fault') {
        yield { type: step.isTail ? 'incomplete' : 'damage', file: shown, ...step.fault }
        continue
      }
      const { record, frames } = step
      if (record.firstIndex > name.limit) return
      if (record.firstIndex + record.frameCount <= first) continue
      yield { type: 'round', file: shown, record }
      let position = record.position + ROUND_RECORD_BYTES
      for (const { header: frame, bytes } of frames) {
        if (frame.index >= first && frame.index <= name.limit)
          yield { type: 'frame', file: shown, position, bytes: bytes.length, kind: kindName(frame.kind), header: frame }
        position += bytes.length
      }
    }
  } finally {
    await file.close()
  }
}

const KIND_NAMES: ReadonlyMap<number, keyof typeof FrameKind> = new Map(
  Object.entries(FrameKind).map(([name, kind]) => [kind, name as keyof typeof FrameKind]),
)

function kindName(kind: number): FrameKindName {
  return KIND_NAMES.get(kind) ?? `kind ${kind}`
}
