/**
 * What one log cannot read, and what is read instead. Finds out how far damage reaches that a read ran into, keeps the
 * patches, and makes new ones.
 *
 * Damage never changes a file here. A patch is durable before it is read, and the hole that it fills is there until then.
 */
import type { Frame } from '@millrace/record'
import type { FlushTask } from './flush-scheduler.ts'
import { fillsHole, isSamePosition, positionAfter } from './frame-sequence.ts'
import { damaged } from './live-segments.ts'
import { allPieces, holesOf, type LogParts, type Patch, type Piece, pieceAt } from './log-pieces.ts'
import { type Hole, LogDamaged, LogError, type LogPosition } from './log-store.ts'
import { encodePatch, openPatch, patchFileName, writePatchAside } from './patch-file.ts'
import type { RoundContent } from './round.ts'
import { SALT_BYTES } from './round-record.ts'
import type { Segment, SegmentGap } from './segment.ts'
import type { SegmentReader } from './segment-reader.ts'
import { discardSegment } from './segment-trash.ts'
import type { StoreContext } from './store-context.ts'

/** What a patch says besides its frames. */
export type PatchContent = Pick<RoundContent, 'ballot' | 'commit' | 'configurationIndex'> & {
  readonly generation: number
}

/** Frames for a hole, or for its first entries up to a position. */
export interface PatchFrames {
  readonly frames: readonly Frame[]
  readonly upTo: LogPosition | undefined
}

type Located = Awaited<ReturnType<SegmentReader['locate']>>
export type ReadablePiece = Piece & { readonly source: Segment }

export class LogRepair implements LogParts {
  readonly #context: StoreContext
  readonly #group: number
  readonly #folder: string
  readonly #log: Omit<LogParts, 'patches'>
  #patches: readonly Patch[]
  /** Scans under way. */
  readonly #examinations = new Map<Segment, Promise<boolean>>()

  constructor(
    context: StoreContext,
    place: { readonly group: number; readonly folder: string },
    log: Omit<LogParts, 'patches'>,
    patches: readonly Patch[],
  ) {
    this.#context = context
    this.#group = place.group
    this.#folder = place.folder
    this.#log = log
    this.#patches = patches
  }

  get base(): LogPosition {
    return this.#log.base
  }

  get segments(): readonly Segment[] {
    return this.#log.segments
  }

  get durable(): LogPosition {
    return this.#log.durable
  }

  get patches(): readonly Patch[] {
    return this.#patches
  }

  get holes(): readonly Hole[] {
    return holesOf(this)
  }

  /** Runs of entries from the base to the durable end. */
  get pieces(): readonly Piece[] {
    return allPieces(this)
  }

  /** The piece that holds an entry; undefined where no segment does. @throws LogDamaged where that is a hole */
  readablePieceAt(index: number): ReadablePiece | undefined {
    const piece = pieceAt(this, index)
    return piece && this.readable(piece)
  }

  /** @throws LogDamaged where a piece is a hole */
  readable({ before, last, source }: Piece): ReadablePiece {
    if (source !== null) return { before, last, source }
    throw new LogDamaged(this.#group, { before: before.index < this.base.index ? this.base : before, last })
  }

  /** Where the log stood after a durable entry, which is not below the base. */
  async positionOf(index: number): Promise<LogPosition> {
    const pieceOf = (): Piece => {
      const piece = pieceAt(this, index)
      if (piece === undefined) throw new RangeError(`group ${this.#group} has no durable entry ${index}`)
      return piece
    }
    if (index === this.base.index) return this.base
    const sourceOf = (piece: Piece): Segment | null => (piece.last.index === index ? null : this.readable(piece).source)
    const found = await this.#locate(index, () => sourceOf(pieceOf()))
    return found === null ? pieceOf().last : positionAfter(found.frame)
  }

  /** Just after the frame of an entry in a segment; where that cannot be read, of the round after it. */
  async endOf(segment: Segment, index: number): Promise<number> {
    const gap = (): SegmentGap | undefined =>
      segment.gaps.find(({ before, last }) => before.index < index && index <= last.index)
    const found = await this.#locate(index, () => (gap() === undefined ? segment : null))
    return found?.end ?? gap()?.resumeAt ?? segment.end
  }

  /** Reads an entry where `choose` says, which is asked again after damage; null: need not be read. */
  async #locate(index: number, choose: () => Segment | null): Promise<Located | null> {
    for (;;) {
      const source = choose()
      if (source === null) return null
      const { gaps } = source
      try {
        return await this.#context.reader.locate(source, index)
      } catch (error) {
        if (!(await this.explains(source, gaps, error))) throw error
      }
    }
  }

  isLive(source: Segment): boolean {
    return this.segments.includes(source) || this.#patches.some(patch => patch.source === source)
  }

  /**
   * Looks into the damage that a read of `source` ran into; `gaps` is what was known of it when the read began.
   *
   * @returns whether more is known now, so that the read is worth another attempt
   */
  async explains(source: Segment, gaps: readonly SegmentGap[], error: unknown): Promise<boolean> {
    if (!(error instanceof LogError) || error.code !== 'DAMAGED' || error instanceof LogDamaged) return false
    if (!this.isLive(source) || source.gaps !== gaps) return true
    const patch = this.#patches.find(each => each.source === source)
    if (patch !== undefined) {
      this.#patches = this.#patches.filter(each => each !== patch)
      this.#context.onProblem(error)
      return true
    }
    const running = this.#examinations.get(source) ?? this.#examine(source)
    this.#examinations.set(source, running)
    try {
      return await running
    } finally {
      this.#examinations.delete(source)
    }
  }

  async #examine(segment: Segment): Promise<boolean> {
    const at = this.segments.indexOf(segment)
    const sealedBy = this.segments[at + 1]?.header.base ?? this.durable
    const { end: size, limit } = segment
    const scan = await this.#context.reader.scan(segment, { size, limit, sealedBy })
    const { stop, atLimit } = scan
    if (stop.kind === 'damaged') throw damaged(segment.path, `byte ${stop.position}: ${stop.detail}`)
    if (limit === sealedBy.index && atLimit !== null && atLimit.chain !== sealedBy.chain)
      throw damaged(segment.path, `entry ${limit} is not the one that the log goes on from`)
    const known = this.holes
    const gaps = scan.gaps.map(gap => (gap.resumeAt === null ? { ...gap, resumeAt: size } : gap))
    if (isSameDamage(segment.gaps, gaps)) return false
    segment.gaps = gaps
    for (const hole of this.holes)
      if (!known.some(({ before, last }) => before.index === hole.before.index && last.index === hole.last.index))
        this.#context.onProblem(new LogDamaged(this.#group, hole))
    return true
  }

  /**
   * Writes the frames of a hole.
   *
   * @returns true: durable, and read from now on; false: they fill no hole; null: the store is halted or closing
   */
  async patch(task: FlushTask, { frames, upTo }: PatchFrames, content: PatchContent): Promise<boolean | null> {
    const first = frames[0]?.header.index
    const hole = this.holes.find(({ before }) => before.index + 1 === first)
    if (hole === undefined || !fillsHole(this.#group, hole, frames, upTo)) return false
    const { disk, random, faults } = this.#context
    const salt = new Uint8Array(SALT_BYTES)
    random(salt)
    const name = { first: hole.before.index + 1, last: frames.at(-1)!.header.index }
    const path = `${this.#folder}/${patchFileName(name)}`
    const owner = { group: this.#group, generation: content.generation, salt }
    const buffers = encodePatch(owner, { ...content, frames, before: hole.before })
    if (!(await this.#makeDurable(task, path, buffers))) return null
    if (!(await faults.untilThereIsSpace(task, path, () => disk.rename(`${path}.new`, path)))) return null
    if (!(await faults.sync(this.#folder, () => disk.syncFolder(this.#folder)))) return null
    await this.#context.reader.forgetFile(path)
    const patch = await openPatch(disk, path, this.#group, name)
    if (typeof patch === 'string') throw new LogError('IO', `${path} does not read back as it was written: ${patch}`)
    this.#patches = [...this.#patches, patch]
    return true
  }

  async #makeDurable(task: FlushTask, path: string, buffers: readonly Uint8Array[]): Promise<boolean> {
    const { disk, faults } = this.#context
    const aside = `${path}.new`
    let file: Awaited<ReturnType<typeof writePatchAside>> | undefined
    const write = async (): Promise<void> => {
      file = await writePatchAside(disk, aside, buffers)
    }
    if (!(await faults.untilThereIsSpace(task, aside, write))) return false
    const isDurable = await faults.sync(aside, () => file!.datasync())
    await file!.close()
    return isDurable
  }

  /** Entries above `index` are void now: a new generation starts there. */
  async voidAbove(index: number): Promise<void> {
    for (const { source } of this.#patches) source.limit = Math.min(source.limit, index)
    await this.dropBelow(this.base.index)
  }

  /** Puts patches into the trash that are void or wholly at or below the base. */
  async dropBelow(baseIndex: number): Promise<void> {
    const isLive = ({ source: { limit, header } }: Patch): boolean => limit > Math.max(baseIndex, header.base.index)
    const dead = this.#patches.filter(patch => !isLive(patch))
    this.#patches = this.#patches.filter(isLive)
    for (const { source } of dead) {
      await this.#context.reader.forget(source)
      await discardSegment(this.#context, this.#group, source.path)
    }
  }
}

function isSameDamage(some: readonly SegmentGap[], others: readonly SegmentGap[]): boolean {
  return (
    some.length === others.length &&
    some.every(
      (gap, at) => isSamePosition(gap.before, others[at]!.before) && isSamePosition(gap.last, others[at]!.last),
    )
  )
}
