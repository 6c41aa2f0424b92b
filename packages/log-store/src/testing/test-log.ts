/** Makes frames as a leader would, for tests of stores: contiguous, with terms, offsets and timestamps that move. */
import { type Frame, FrameCodec, FrameKind, NO_PRODUCER, sealFrame } from '@millrace/record'
import { positionAfter } from '../frame-sequence.ts'
import type { BaseRecord, LogPosition } from '../log-store.ts'

/** The base that a group is born from. */
export function testBase(over: Partial<BaseRecord> = {}): BaseRecord {
  return {
    index: 1,
    term: 1,
    chain: 0xc0ffee,
    timestamp: 1_000,
    nextOffset: 0,
    configuration: new Uint8Array([1, 2, 3]),
    configurationIndex: 1,
    voidBelow: 0,
    ...over,
  }
}

export interface TestFrameOptions {
  readonly kind?: FrameKind
  readonly payload?: Uint8Array
  /** Default: that of the frame before. */
  readonly term?: number
  readonly recordCount?: number
}

/** The end of a log that is being written, from which the next frames are sealed. */
export class TestLog {
  readonly group: number
  #at: LogPosition

  constructor(group: number, at: LogPosition) {
    this.group = group
    this.#at = at
  }

  get position(): LogPosition {
    return this.#at
  }

  /** Goes on after `at`, as a leader of another term that never saw what came later. */
  truncateTo(at: LogPosition): void {
    this.#at = at
  }

  next(options: TestFrameOptions = {}): Frame {
    const before = this.#at
    const kind = options.kind ?? FrameKind.records
    const frame = sealFrame(
      {
        kind,
        codec: FrameCodec.none,
        recordCount: kind === FrameKind.records ? (options.recordCount ?? 1) : 0,
        producerId: NO_PRODUCER,
        producerEpoch: 0,
        sequence: 0,
        payload: options.payload ?? new TextEncoder().encode(`entry ${before.index + 1}`),
      },
      {
        group: this.group,
        index: before.index + 1,
        term: options.term ?? before.term,
        baseOffset: before.nextOffset,
        timestamp: before.timestamp + 10,
        previousChain: before.chain,
      },
    )
    this.#at = positionAfter(frame)
    return frame
  }

  append(count: number, options: TestFrameOptions = {}): Frame[] {
    return Array.from({ length: count }, () => this.next(options))
  }
}
