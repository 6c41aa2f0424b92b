/**
 * The newest frames of all groups in memory, by reference, under one byte budget for the process. Followers and tailing
 * readers get the same bytes that were written.
 *
 * Invariant: frames that are not durable are always here (they are pinned), so a read of the end never waits for them.
 * Beyond the budget the frames that became durable first, in whatever group, leave first.
 */
import type { Frame } from '@millrace/record'
import { firstWhere } from './frame-sequence.ts'

/** What a frame costs beside its bytes: the objects around it. */
const FRAME_OVERHEAD_BYTES = 400
/** Runs of one group are joined up to this size, so that small rounds do not cost a run each. */
const RUN_BYTES = 65_536

interface Run {
  readonly tail: GroupTail
  lastIndex: number
  bytes: number
}

export class TailCache {
  readonly #bytesMax: number
  /** Runs of durable frames, oldest first, as (tail, last index of the run). */
  readonly #runs: Run[] = []
  #head = 0
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  newTail(): GroupTail {
    return new GroupTail(delta => {
      this.#bytes += delta
    })
  }

  /** `bytes` of frames of `tail`, up to `lastIndex`, are durable now and may be forgotten when memory is short. */
  release(tail: GroupTail, lastIndex: number, bytes: number): void {
    const newest = this.#runs.at(-1)
    const joins =
      this.#head < this.#runs.length &&
      newest?.tail === tail &&
      newest.bytes < RUN_BYTES &&
      lastIndex > newest.lastIndex
    if (joins) {
      newest.lastIndex = lastIndex
      newest.bytes += bytes
    } else {
      this.#runs.push({ tail, lastIndex, bytes })
    }
    while (this.#bytes > this.#bytesMax && this.#head < this.#runs.length) {
      const run = this.#runs[this.#head++]!
      run.tail.forgetUpTo(run.lastIndex)
    }
    if (this.#head > 1_024 && this.#head * 2 > this.#runs.length) {
      this.#runs.splice(0, this.#head)
      this.#head = 0
    }
  }
}

/** The newest frames of one group: contiguous, up to the end of its log. */
export class GroupTail {
  readonly #account: (delta: number) => void
  #frames: (Frame | undefined)[] = []
  /** Frames before this place are forgotten; their slots, which hold nothing, are freed now and then. */
  #head = 0
  /** Index of the frame at `#head`. */
  #first = 0
  #pinnedFrom = Number.POSITIVE_INFINITY

  constructor(account: (delta: number) => void) {
    this.#account = account
  }

  /** Index of the oldest frame here, or Infinity where there is none. */
  get first(): number {
    return this.#head < this.#frames.length ? this.#first : Number.POSITIVE_INFINITY
  }

  /** Puts frames at the end, in place of whatever is at or after the first of them. */
  append(frames: readonly Frame[]): void {
    const from = frames[0]!.header.index
    this.#cutFrom(from)
    if (this.#head === this.#frames.length) this.#first = from
    let bytes = 0
    for (const frame of frames) {
      this.#frames.push(frame)
      bytes += frame.bytes.length + FRAME_OVERHEAD_BYTES
    }
    this.#account(bytes)
  }

  get pinnedFrom(): number {
    return this.#pinnedFrom
  }

  /** Frames from `index` on must stay. Infinity: none has to. */
  pinFrom(index: number): void {
    this.#pinnedFrom = index
  }

  clear(): void {
    this.#cutFrom(0)
  }

  forgetUpTo(lastIndex: number): void {
    const stop = Math.min(lastIndex + 1, this.#pinnedFrom) - this.#first
    let bytes = 0
    for (let count = 0; count < stop && this.#head < this.#frames.length; count++) {
      bytes += this.#frames[this.#head]!.bytes.length + FRAME_OVERHEAD_BYTES
      this.#frames[this.#head++] = undefined
      this.#first++
    }
    this.#account(-bytes)
    if (this.#head * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head)
      this.#head = 0
    }
  }

  at(index: number): Frame | undefined {
    return index < this.#first ? undefined : this.#frames[this.#head + index - this.#first]
  }

  /** Frames [from, to) up to `bytesMax` bytes, at least one; null where `from` is not here. */
  slice(from: number, to: number, bytesMax: number): readonly Frame[] | null {
    const start = this.#head + from - this.#first
    if (start < this.#head || start >= this.#frames.length) return null
    const stop = Math.min(start + to - from, this.#frames.length)
    let end = start
    for (let bytes = 0; end < stop; end++) {
      bytes += this.#frames[end]!.bytes.length
      if (bytes > bytesMax && end > start) break
    }
    return end > start ? (this.#frames.slice(start, end) as Frame[]) : null
  }

  /** First frame here for which `reached` holds; `reached` is false, then true, along the log. */
  firstWhere(reached: (frame: Frame) => boolean): Frame | undefined {
    return this.#frames[firstWhere(this.#head, this.#frames.length, at => reached(this.#frames[at]!))]
  }

  #cutFrom(index: number): void {
    let bytes = 0
    while (this.#frames.length > this.#head && this.#first + this.#frames.length - this.#head > index) {
      bytes += this.#frames.pop()!.bytes.length + FRAME_OVERHEAD_BYTES
    }
    this.#account(-bytes)
  }
}
