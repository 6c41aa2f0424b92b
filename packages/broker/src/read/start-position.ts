/** Where a read begins, and what that means for one partition. */
import type { StartPosition as WirePosition } from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import type { Partition } from '@millrace/topics'

export type StartPosition =
  | { readonly type: 'earliest' }
  /** Records appended after the subscription. */
  | { readonly type: 'latest' }
  | { readonly type: 'offset'; readonly offset: number }
  /** The first record appended at or after `timeMs`. */
  | { readonly type: 'time'; readonly timeMs: number }

/** A request without a position means earliest. @throws MillraceError INVALID_ARGUMENT */
export function fromWirePosition(wire: WirePosition | undefined): StartPosition {
  const position = wire?.position
  switch (position?.case) {
    case undefined:
    case 'earliest':
      return { type: 'earliest' }
    case 'latest':
      return { type: 'latest' }
    case 'offset':
      return { type: 'offset', offset: safe(position.value, 'from.offset') }
    case 'time':
      return { type: 'time', timeMs: safe(position.value, 'from.time') }
  }
}

function safe(value: bigint, name: string): number {
  if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value)
  throw new MillraceError('INVALID_ARGUMENT', `${name}: ${value} is not in 0 to 2^53 - 1`)
}

/** @throws MillraceError OFFSET_OUT_OF_RANGE naming the valid range */
export async function startOffset(partition: Partition, from: StartPosition): Promise<number> {
  switch (from.type) {
    case 'earliest':
      return partition.logStartOffset
    case 'latest':
      return partition.highWatermark
    case 'time': {
      const offset = await partition.offsetAtTime(from.timeMs)
      return Math.min(Math.max(offset, partition.logStartOffset), partition.highWatermark)
    }
    case 'offset': {
      const { logStartOffset, highWatermark } = partition
      if (from.offset >= logStartOffset && from.offset <= highWatermark) return from.offset
      throw new MillraceError(
        'OFFSET_OUT_OF_RANGE',
        `offset ${from.offset} of ${partition.topic}/${partition.partition} is not in ${logStartOffset} to ${highWatermark}`,
        { details: { offset: from.offset, logStartOffset, highWatermark } },
      )
    }
  }
}
