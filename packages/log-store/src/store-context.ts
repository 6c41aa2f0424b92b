/** What all groups of one store share, and the limits that they keep. */
import type { Clock, RandomFill } from './clock.ts'
import type { Disk } from './disk.ts'
import type { FlushScheduler } from './flush-scheduler.ts'
import type { LogError } from './log-store.ts'
import type { MarkFile } from './mark-file.ts'
import type { SegmentReader } from './segment-reader.ts'
import type { SpareSegments } from './spare-segments.ts'
import type { StorageFaults } from './storage-faults.ts'
import type { TailCache } from './tail-cache.ts'
import type { Trash } from './trash.ts'
import type { VoteFile } from './vote-file.ts'
import type { WriteFiles } from './write-files.ts'

export interface StoreLimits {
  /** A segment that has reached this is followed by another. Default 128 MiB. */
  readonly segmentBytesMax: number
  /** The same by age. Default 7 days. */
  readonly segmentAgeMaxMs: number
  /** Frames of one round; a single larger write still goes in one. Default 8 MiB. */
  readonly roundBytesMax: number
  /** Recovery reads at least this much of a segment, what is known to be durable included. Default 1 MiB. */
  readonly recoveryScanBytesMin: number
  /** Trimmed segments that are kept as space for new ones. Default 4; 0: none. */
  readonly spareSegmentsMax: number
}

export interface StoreContext {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: RandomFill
  readonly scheduler: FlushScheduler
  readonly faults: StorageFaults
  readonly votes: VoteFile
  readonly mark: MarkFile
  readonly tails: TailCache
  readonly reader: SegmentReader
  readonly writeFiles: WriteFiles
  readonly trash: Trash
  readonly spares: SpareSegments
  readonly limits: StoreLimits
  readonly counters: { bytesWritten: number }
  /** A group that must not go on: its log turned out to be damaged. */
  readonly refuse: (group: number, reason: LogError) => void
  /** Something that costs nothing but time, such as an index that could not be saved. */
  readonly onProblem: (error: Error) => void
}

export function groupFolder(storeFolder: string, group: number): string {
  return `${storeFolder}/groups/${group}`
}
