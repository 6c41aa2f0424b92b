/**
 * Brings the frames of a hole from one peer into the log.
 *
 * Frames are taken only where they join the chain on both sides, and memory holds one part of a hole at a time: of a long
 * one the chain is first followed to the other side without keeping a frame, noting where the parts end. Then what is
 * fetched again is patched part by part, each up to a place that the chain is known to pass.
 */
import { frameMisfit, type GroupLog, type Hole, type LogPosition, positionAfter } from '@millrace/log-store'
import type { Frame } from '@millrace/record'
import { FETCH_PIECE_BYTES_MAX, type FrameAnswer, type FrameRefusal, type FrameRequest } from './frame-calls.ts'

/** Frames of a hole that are held in memory; a longer hole is repaired in parts. */
const REPAIR_PART_BYTES_MAX = 16_777_216

export interface HoleSource {
  /** Asks the peer. @throws Error where it cannot be reached */
  ask(request: Pick<FrameRequest, 'first' | 'last' | 'bytesMax'>): Promise<FrameAnswer>
}

export interface HoleFetchOptions {
  readonly log: GroupLog
  readonly source: HoleSource
  /** Entries are durable and can be read. */
  readonly patched: (frames: readonly Frame[]) => void
  /** Default: {@link REPAIR_PART_BYTES_MAX} */
  readonly partBytesMax?: number
}

/** `repaired`: the whole hole. `gone`: it is not as it was any more. */
export type FetchEnd = 'repaired' | 'gone' | FrameRefusal

/** @throws Error where the peer cannot be reached; LogError */
export async function fetchHole(options: HoleFetchOptions, hole: Hole): Promise<FetchEnd> {
  const walk = await follow(options, hole)
  if (typeof walk === 'string') return walk
  if (walk.ends.length === 1) return (await patch(options, hole, walk.frames, hole.last)) ? 'repaired' : 'gone'
  let { before } = hole
  for (const end of walk.ends) {
    const part = await follow({ ...options, partBytesMax: Number.POSITIVE_INFINITY }, { before, last: end }, hole.last)
    if (typeof part === 'string') return part
    if (!(await patch(options, hole, part.frames, end))) return 'gone'
    before = end
  }
  return 'repaired'
}

interface Walk {
  /** All, where there is one part; else none. */
  readonly frames: readonly Frame[]
  /** Where each part ends, the last at the end of the hole. */
  readonly ends: readonly LogPosition[]
}

/** Follows the chain from one side of a hole to the other. `anchor`: what the peer is asked to have; default: the other side */
async function follow(options: HoleFetchOptions, hole: Hole, anchor = hole.last): Promise<Walk | FrameRefusal> {
  const { log, source, partBytesMax = REPAIR_PART_BYTES_MAX } = options
  const ends: LogPosition[] = []
  let frames: Frame[] = []
  let bytes = 0
  let at = hole.before
  while (at.index < hole.last.index) {
    const bytesMax = Math.min(FETCH_PIECE_BYTES_MAX, partBytesMax)
    const answer = await source.ask({ first: at.index + 1, last: anchor, bytesMax })
    if (answer.status !== 'frames') return answer.status
    if (answer.frames.length === 0) return 'absent'
    for (const frame of answer.frames) {
      if (at.index === hole.last.index) break
      if (frameMisfit(frame, at, log.group) !== null) return 'differs'
      if (bytes > 0 && bytes + frame.bytes.length > partBytesMax) {
        ends.push(at)
        bytes = 0
      }
      // Once there are several parts, they are fetched again one by one.
      if (ends.length === 0) frames.push(frame)
      else frames = []
      bytes += frame.bytes.length
      at = positionAfter(frame)
    }
  }
  return isSame(at, hole.last) ? { frames, ends: [...ends, hole.last] } : 'differs'
}

async function patch(
  { log, patched }: HoleFetchOptions,
  hole: Hole,
  frames: readonly Frame[],
  upTo: LogPosition,
): Promise<boolean> {
  // What was followed leads to this entry: with another one there, nothing is known of these frames.
  const stillThere = log.holes.some(({ last }) => isSame(last, hole.last))
  if (!stillThere || !(await log.patch(frames, upTo))) return false
  patched(frames)
  return true
}

function isSame(a: LogPosition, b: LogPosition): boolean {
  return a.index === b.index && a.term === b.term && a.chain === b.chain && a.nextOffset === b.nextOffset
}
