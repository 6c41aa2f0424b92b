/**
 * What is in the logs of a data folder, entry by entry, in the order of the log. Everything is verified before it is
 * handed out; what cannot be verified is one item that says where. Streams: one round in memory at a time.
 */
import { type FrameHeader, FrameKind } from '@millrace/record'
import type { DiskFile } from '../disk.ts'
import type { Patch } from '../log-pieces.ts'
import { LogError } from '../log-store.ts'
import { openPatch, parsePatchFileName } from '../patch-file.ts'
import { settle } from '../recovered-patches.ts'
import { ROUND_RECORD_BYTES, type RoundRecord } from '../round-record.ts'
import { segmentPath } from '../segment.ts'
import type { SegmentHeader } from '../segment-header.ts'
import { groupFolder } from '../store-context.ts'
import { type GroupFiles, listGroupFiles } from './group-files.ts'
import { listGroups, type OfflineFolder, openOffline } from './offline-folder.ts'
import { type WalkStep, walkRounds } from './round-walk.ts'
import { readSegmentHeader } from './segment-file.ts'
import { isPatched } from './verify-patches.ts'
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
  /** A segment, or a patch, which is read like one. */
  | { readonly type: 'segment'; readonly file: string; readonly limit: number; readonly header: SegmentHeader }
  | { readonly type: 'round'; readonly file: string; readonly record: RoundRecord }
  | DumpedFrame
  /** Bytes that are not what they should be; what can be read after them follows. */
  | { readonly type: 'damage'; readonly file: string; readonly position: number; readonly what: string }
  /** The same, where patches have all the entries; these come after the segments. */
  | { readonly type: 'repaired'; readonly file: string; readonly position: number; readonly what: string }
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
  const patches = await patchesOf(folder, files, group)
  for (const name of files.segments.live)
    if (name.limit >= first) yield* dumpSegment(folder, files.folder, group, name, first, patches)
  for (const { source } of patches) {
    const file = await folder.disk.open(source.path, 'read')
    try {
      yield* dumpRounds(folder, { path: source.path, file, header: source.header, limit: source.limit }, first, patches)
    } finally {
      await file.close()
    }
  }
}

/** Those that count; what is wrong with others is for a verification to say. */
async function patchesOf({ disk }: OfflineFolder, files: GroupFiles, group: number): Promise<readonly Patch[]> {
  const base = files.base === null || typeof files.base === 'string' ? { index: 0, voidBelow: 0 } : files.base.base
  const patches: Patch[] = []
  for (const fileName of files.patches) {
    const patch = await openPatch(disk, `${files.folder}/${fileName}`, group, parsePatchFileName(fileName)!)
    if (typeof patch !== 'string' && settle(patch, base, files.segmentNames)) patches.push(patch)
  }
  return patches
}

async function* dumpSegment(
  folder: OfflineFolder,
  groupDir: string,
  group: number,
  name: NamedSegment,
  first: number,
  patches: readonly Patch[],
): AsyncGenerator<DumpItem> {
  const path = segmentPath(groupDir, name.base, name.generation)
  const shown = path.slice(folder.path.length + 1)
  const file = await folder.disk.open(path, 'read')
  try {
    const header = await readSegmentHeader(file, group, name)
    if ('what' in header) {
      const type = isPatched(patches, Math.max(first, name.base + 1), name.limit) ? 'repaired' : 'damage'
      yield { type, file: shown, ...header }
      return
    }
    yield* dumpRounds(folder, { path, file, header, limit: name.limit }, first, patches)
  } finally {
    await file.close()
  }
}

interface DumpedFile {
  readonly path: string
  readonly file: DiskFile
  readonly header: SegmentHeader
  readonly limit: number
}

async function* dumpRounds(
  folder: OfflineFolder,
  { path, file, header, limit }: DumpedFile,
  first: number,
  patches: readonly Patch[],
): AsyncGenerator<DumpItem> {
  const shown = path.slice(folder.path.length + 1)
  yield { type: 'segment', file: shown, limit, header }
  for await (const step of walkRounds(file, header)) {
    if (step.kind === 'fault') {
      yield { type: typeOfFault(step, limit, patches), file: shown, ...step.fault }
      continue
    }
    const { record, frames } = step
    if (record.firstIndex > limit) return
    if (record.firstIndex + record.frameCount <= first) continue
    yield { type: 'round', file: shown, record }
    let position = record.position + ROUND_RECORD_BYTES
    for (const { header: frame, bytes } of frames) {
      if (frame.index >= first && frame.index <= limit)
        yield { type: 'frame', file: shown, position, bytes: bytes.length, kind: kindName(frame.kind), header: frame }
      position += bytes.length
    }
  }
}

function typeOfFault(
  { isTail, gap }: Extract<WalkStep, { readonly kind: 'fault' }>,
  limit: number,
  patches: readonly Patch[],
): 'incomplete' | 'repaired' | 'damage' {
  if (isTail) return 'incomplete'
  if (gap === null) return 'damage'
  return isPatched(patches, gap.before.index + 1, Math.min(gap.last.index, limit)) ? 'repaired' : 'damage'
}

const KIND_NAMES: ReadonlyMap<number, keyof typeof FrameKind> = new Map(
  Object.entries(FrameKind).map(([name, kind]) => [kind, name as keyof typeof FrameKind]),
)

function kindName(kind: number): FrameKindName {
  return KIND_NAMES.get(kind) ?? `kind ${kind}`
}
