/**
 * Where the entries of a log can be read: a run in a segment, a run in a patch, or nowhere. Gaps belong to segments and
 * are facts of their files; holes belong to the log and are what is left of the gaps where base, limits and patches have
 * been counted. Pure: nothing here reads.
 */
import type { Frame } from '@millrace/record'
import type { Hole, LogPosition } from './log-store.ts'
import { type Segment, segmentOf } from './segment.ts'

/** Frames that are read where a segment has a gap. As a segment it is of one round, its limit the last entry that counts. */
export interface Patch {
  readonly source: Segment
  /** Where the log stood after its last frame. */
  readonly last: LogPosition
  /** Configuration frames in it, rising. */
  readonly configurations: readonly Frame[]
}

/** A run of entries after `before`, up to `last`. */
export interface Piece {
  readonly before: LogPosition
  readonly last: LogPosition
  /** Null: a hole. */
  readonly source: Segment | null
}

/** What pieces are cut from. */
export interface LogParts {
  readonly base: LogPosition
  /** Live segments, rising. */
  readonly segments: readonly Segment[]
  readonly patches: readonly Patch[]
  /** The end of what is in them. */
  readonly durable: LogPosition
}

/** The piece that holds entry `index`, which the log has. */
export function pieceAt(parts: LogParts, index: number): Piece | undefined {
  const segment = segmentOf(parts.segments, index)
  return segment && piecesOf(parts, segment).find(piece => index <= piece.last.index)
}

/** All of a log, without what is at or below its base. */
export function allPieces(parts: LogParts): readonly Piece[] {
  const { base } = parts
  return parts.segments
    .flatMap(segment => piecesOf(parts, segment))
    .filter(piece => piece.last.index > base.index)
    .map(piece => (piece.before.index < base.index ? { ...piece, before: base } : piece))
}

/** What cannot be read, rising. */
export function holesOf(parts: LogParts): readonly Hole[] {
  if (parts.segments.every(segment => segment.gaps.length === 0)) return []
  return allPieces(parts)
    .filter(piece => piece.source === null)
    .map(({ before, last }) => ({ before, last }))
}

/** The live entries of one segment, in order. */
export function piecesOf(parts: LogParts, segment: Segment): readonly Piece[] {
  const { patches, segments } = parts
  const next = segments[segments.indexOf(segment) + 1]
  const end = next?.header.base ?? parts.durable
  const from = segment.header.base
  if (segment.gaps.length === 0 && patches.length === 0) return [{ before: from, last: end, source: segment }]
  const pieces: Piece[] = []
  for (let before = from; before.index < end.index; ) {
    const piece = pieceAfter(before, end, segment, patches)
    pieces.push(piece)
    before = piece.last
  }
  return pieces
}

function pieceAfter(before: LogPosition, end: LogPosition, segment: Segment, patches: readonly Patch[]): Piece {
  const { index } = before
  const patch = patches.find(({ source }) => source.header.base.index <= index && index < source.limit)
  if (patch !== undefined) return { before, last: earlier(end, patch.last), source: patch.source }
  const gap = segment.gaps.find(each => each.before.index <= index && index < each.last.index)
  const starts = patches.map(({ source }) => source.header.base)
  if (gap === undefined) starts.push(...segment.gaps.map(each => each.before))
  let last = gap === undefined ? end : earlier(end, gap.last)
  for (const start of starts) if (start.index > index) last = earlier(last, start)
  return { before, last, source: gap === undefined ? segment : null }
}

function earlier(a: LogPosition, b: LogPosition): LogPosition {
  return a.index <= b.index ? a : b
}
