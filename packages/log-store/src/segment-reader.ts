/**
 * Cold reads: frames of segments that are no longer in memory. Starts where the sparse index says and verifies every
 * frame and every round record on the way, so a wrong index costs a scan and never a wrong answer.
 */
import type { Frame } from '@millrace/record'
import type { Disk } from './disk.ts'
import { LogError } from './log-store.ts'
import type { OpenFiles } from './open-files.ts'
import { ownerOf, type Segment } from './segment.ts'
import { type IndexEntry, SegmentIndex } from './segment-index.ts'
import { type ScanOptions, type SegmentScan, scanSegment } from './segment-scanner.ts'
import { SegmentWalk, type Visit, type WalkStart } from './segment-walk.ts'

const INDEXES_MAX = 64
/** An index whose last entry is further from the end than any frame can be is cut off. */
const INDEX_GAP_BYTES_MAX = 4 * 1_048_576

/** Stretches of walks that rest where the next read may go on: about 1 MiB each. */
const RESTING_BYTES_MAX = 16 * 1_048_576

export class SegmentReader {
  readonly #disk: Disk
  readonly #files: OpenFiles
  readonly #onProblem: (error: Error) => void
  /** Indexes of sealed segments, least recently used first. */
  readonly #indexes = new Map<string, Promise<LoadedIndex>>()
  /** Least recently used first. */
  #resting: SegmentWalk[] = []

  /** @param onProblem hears of an index that could not be saved: it is scanned for again another time */
  constructor(disk: Disk, files: OpenFiles, onProblem: (error: Error) => void) {
    this.#disk = disk
    this.#files = files
    this.#onProblem = onProblem
  }

  /**
   * Frames [from, to) of a segment up to about `bytesMax` bytes, at least one. A read that starts where another ended
   * goes on from there, and reads ahead.
   */
  async frames(segment: Segment, from: number, to: number, bytesMax: number): Promise<readonly Frame[]> {
    const found: Frame[] = []
    let bytes = 0
    const visit: Visit = frame => {
      if (frame.header.index < from) return 'next'
      bytes += frame.bytes.length
      if (found.length > 0 && bytes > bytesMax) return 'notThis'
      found.push(frame)
      return bytes < bytesMax ? 'next' : 'last'
    }
    const resting = this.#resting.findIndex(walk => walk.segment === segment && walk.nextIndex === from)
    const [rested] = resting < 0 ? [] : this.#resting.splice(resting, 1)
    const last = Math.min(to - 1, segment.limit)
    if (rested !== undefined) await this.#files.read(segment.path, file => rested.run(file, last, visit))
    this.#rest(rested ?? (await this.#walk(segment, from, entry => entry.index <= from, last, visit)))
    return found
  }

  /** The frame at `index` and the position just after it. */
  async locate(segment: Segment, index: number): Promise<{ readonly frame: Frame; readonly end: number }> {
    let found: { frame: Frame; end: number } | undefined
    await this.#walk(
      segment,
      index,
      entry => entry.index <= index,
      index,
      (frame, end) => {
        if (frame.header.index === index) found = { frame, end }
        return found === undefined ? 'next' : 'last'
      },
    )
    if (found === undefined) throw new LogError('DAMAGED', `${segment.path}: entry ${index} is not where it should be`)
    return found
  }

  /** First frame in [from, limit] for which `reached` holds; `before` says the same of index entries, negated. */
  async find(
    segment: Segment,
    from: number,
    limit: number,
    before: (entry: IndexEntry) => boolean,
    reached: (frame: Frame) => boolean,
  ): Promise<Frame | undefined> {
    let found: Frame | undefined
    await this.#walk(segment, from, before, limit, frame => {
      if (frame.header.index >= from && reached(frame)) found = frame
      return found === undefined ? 'next' : 'last'
    })
    return found
  }

  /** Forgets what is kept of a segment that is gone or has another limit now. */
  async forget(segment: Segment): Promise<void> {
    this.#indexes.delete(segment.path)
    this.#resting = this.#resting.filter(walk => walk.segment !== segment)
    await this.#files.forget(segment.path)
  }

  /** All that a scan finds in a segment. */
  scan(segment: Segment, options: ScanOptions): Promise<SegmentScan> {
    return this.#files.read(segment.path, file => scanSegment(file, segment.header, options))
  }

  /** Forgets a file whose name leads to another one now. */
  forgetFile(path: string): Promise<void> {
    return this.#files.forget(path)
  }

  /** Walks from where the index leads to, or from after the last gap below `from`, whichever is later. */
  async #walk(
    segment: Segment,
    from: number,
    before: (entry: IndexEntry) => boolean,
    last: number,
    visit: Visit,
  ): Promise<SegmentWalk> {
    const stop = Math.min(last, segment.limit)
    const { index, fromFile } = await this.#indexOf(segment)
    const walk = this.#newWalk(segment, startOf(segment, from, index, before))
    try {
      await this.#files.read(segment.path, file => walk.run(file, stop, visit))
      return walk
    } catch (error) {
      // Nothing verified from where the index file led to: the file may be the one that is wrong.
      if (!fromFile || walk.verified > 0 || !(error instanceof LogError)) throw error
      const scanned = this.#keep(segment, this.#scan(segment))
      const again = this.#newWalk(segment, startOf(segment, from, (await scanned).index, before))
      await this.#files.read(segment.path, file => again.run(file, stop, visit))
      return again
    }
  }

  #newWalk(segment: Segment, entry: WalkStart | undefined): SegmentWalk {
    return new SegmentWalk(segment, entry, (into, position) =>
      this.#files.readIfFree(segment.path, file => file.read(into, position)),
    )
  }

  /** Keeps a walk for the read that comes next, unless its segment is at its end. */
  #rest(walk: SegmentWalk): void {
    if (walk.nextIndex > walk.segment.limit) return
    this.#resting.push(walk)
    let bytes = this.#resting.reduce((sum, { heldBytes }) => sum + heldBytes, 0)
    while (bytes > RESTING_BYTES_MAX) bytes -= this.#resting.shift()!.heldBytes
  }

  async #indexOf(segment: Segment): Promise<LoadedIndex> {
    if (segment.index !== null) return { index: segment.index, fromFile: false }
    return this.#keep(segment, this.#indexes.get(segment.path) ?? this.#loadIndex(segment))
  }

  /** Makes an index the most recently used, and forgets the least recently used beyond the bound. */
  #keep(segment: Segment, index: Promise<LoadedIndex>): Promise<LoadedIndex> {
    const { path } = segment
    this.#indexes.delete(path)
    this.#indexes.set(path, index)
    for (const oldest of this.#indexes.keys()) {
      if (this.#indexes.size <= INDEXES_MAX) break
      this.#indexes.delete(oldest)
    }
    index.catch(() => this.#indexes.delete(path))
    return index
  }

  async #loadIndex(segment: Segment): Promise<LoadedIndex> {
    const index = await SegmentIndex.load(this.#disk, folderOf(segment), ownerOf(segment), segment.limit)
    const end = await this.#files.read(segment.path, file => file.size())
    const reach = index?.entries.at(-1)?.position
    if (index === null || reach === undefined || end - reach > INDEX_GAP_BYTES_MAX) return this.#scan(segment)
    return { index, fromFile: true }
  }

  async #scan(segment: Segment): Promise<LoadedIndex> {
    const { index, gaps } = await this.#files.read(segment.path, file => scanSegment(file, segment.header))
    index.cutAbove(segment.limit)
    // What is missing in a damaged segment would be missing in its index file too, even after a restore of the segment.
    if (gaps.length > 0) return { index, fromFile: false }
    // A read on a full disk is still a read.
    await index.save(this.#disk, folderOf(segment), ownerOf(segment)).catch(this.#onProblem)
    return { index, fromFile: false }
  }
}

/** Where a walk to entry `from`, or the last one for which `before` holds, starts; undefined: at the header. No gap is between. */
function startOf(
  segment: Segment,
  from: number,
  index: SegmentIndex,
  before: (entry: IndexEntry) => boolean,
): WalkStart | undefined {
  const entry = index.lastWhere(before)
  // Of a segment whose first frames are missing the index begins later.
  const leadsPast = entry !== undefined && entry.index > from && !before(entry)
  const gap = segment.gaps.findLast(({ last, resumeAt }) => resumeAt !== null && last.index < from)
  if (gap === undefined || (entry !== undefined && entry.index > gap.last.index)) return leadsPast ? undefined : entry
  return { index: gap.last.index + 1, position: gap.resumeAt!, chainBefore: gap.last.chain }
}

interface LoadedIndex {
  readonly index: SegmentIndex
  readonly fromFile: boolean
}

function folderOf(segment: Segment): string {
  return segment.path.slice(0, segment.path.lastIndexOf('/'))
}
