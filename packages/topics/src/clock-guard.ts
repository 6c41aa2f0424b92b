/**
 * Whether this node's time of day may decide what is deleted. Two witnesses: a monotonic clock is never set, so a wall clock
 * that was set while the node ran, by hand or by a time server that is wrong, has moved against it; and the clocks of the other
 * nodes, which tell of one that was wrong before. Both have to agree with it, since all nodes may follow one server.
 *
 * A node that is alone says nothing of a clock that was wrong before it started.
 */
import type { Clock } from '@millrace/raft-node'

type BothClocks = Pick<Clock, 'wallMs' | 'monotonicMs'>

export class ClockGuard {
  readonly #clock: BothClocks
  readonly #skewMaxMs: number
  /** Wall clock less monotonic clock, when the node started. */
  readonly #apartMs: number

  constructor(clock: BothClocks, skewMaxMs: number) {
    this.#clock = clock
    this.#skewMaxMs = skewMaxMs
    this.#apartMs = clock.wallMs() - clock.monotonicMs()
  }

  /**
   * What speaks against the time of day; undefined: nothing does.
   *
   * @param peerSkewsMs by how much the clocks of other nodes are ahead of this one's, of those that answered
   */
  doubt(peerSkewsMs: readonly number[]): string | undefined {
    const movedMs = this.#clock.wallMs() - this.#clock.monotonicMs() - this.#apartMs
    if (Math.abs(movedMs) > this.#skewMaxMs) return `was moved by ${seconds(movedMs)} s while the node ran`
    const offMs = furthestMiddle([0, ...peerSkewsMs])
    if (Math.abs(offMs) > this.#skewMaxMs) return `is off by ${seconds(-offMs)} s from the clocks of the cluster`
    return undefined
  }
}

/** The median; where two values are in the middle the one further from 0, so that of two clocks neither is believed. */
function furthestMiddle(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const low = sorted[Math.floor((sorted.length - 1) / 2)]!
  const high = sorted[Math.ceil((sorted.length - 1) / 2)]!
  return Math.abs(low) > Math.abs(high) ? low : high
}

function seconds(ms: number): number {
  return Math.round(ms / 1_000)
}
