/** The files of one group as they are found: base record, segments by name, and whatever else lies beside them. */
import { type BaseFile, readBaseFile } from '../base-file.ts'
import type { Disk } from '../disk.ts'
import type { FormatFault } from '../format.ts'
import { type NamedSegments, sortSegments } from '../live-segments.ts'
import { parsePatchFileName } from '../patch-file.ts'
import { parseSegmentFileName } from '../segment-header.ts'
import { listSorted } from './offline-folder.ts'

export interface GroupFiles {
  readonly folder: string
  /** Null where there is none. */
  readonly base: BaseFile | FormatFault | null
  /** Where the log starts; 0 where no base record can be read. */
  readonly baseIndex: number
  readonly segments: NamedSegments
  /** Index files whose segment is not there. */
  readonly strayIndexes: readonly string[]
  /** Files that were not finished. */
  readonly unfinished: readonly string[]
  /** Names of all segment files, void ones too. */
  readonly segmentNames: readonly string[]
  /** Names of patch files. */
  readonly patches: readonly string[]
  readonly unknown: readonly string[]
}

export async function listGroupFiles(disk: Disk, folder: string): Promise<GroupFiles> {
  const names = await listSorted(disk, folder)
  const base = await readBaseFile(disk, folder)
  const known = base === null || typeof base === 'string' ? null : base.base
  const rest = names.filter(name => name !== 'base' && parseSegmentFileName(name) === null)
  const patches = rest.filter(name => parsePatchFileName(name) !== null)
  const indexes = rest.filter(name => /^[0-9a-f]{16}-[0-9a-f]{8}\.index$/.test(name))
  return {
    folder,
    base,
    baseIndex: known?.index ?? 0,
    segments: sortSegments(names, known?.index ?? 0, known?.voidBelow ?? 0),
    strayIndexes: indexes.filter(name => !names.includes(name.replace(/index$/, 'log'))),
    unfinished: rest.filter(name => name.endsWith('.new')),
    segmentNames: names.filter(name => parseSegmentFileName(name) !== null),
    patches,
    unknown: rest.filter(name => !name.endsWith('.new') && !indexes.includes(name) && !patches.includes(name)),
  }
}
