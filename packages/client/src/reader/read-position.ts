/**
 * Where a read begins and where it stands: per partition, and for all partitions together as a token, which is text
 * that goes into a URL as it is. The token has one item per partition, `0:13,1:5`, with the next offset of each; the
 * HTTP routes use the same. To callers it is opaque.
 *
 * A partition whose leader has not answered yet has no offset; it stands at what it was asked for, `earliest` or a time.
 */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { StartPositionSchema } from '@millrace/proto'
import { MillraceError } from '@millrace/record'

/** Where a read begins. */
export type ReadFrom =
  /** The oldest record that is still there. */
  | 'earliest'
  /** Only what is appended from now on. */
  | 'latest'
  /** The first record appended at or after this time (of the leader; milliseconds since 1970, or a Date). */
  | { readonly time: number | Date }
  /** One partition from an offset on. The read has that partition only; `partitions` may name it instead. */
  | { readonly offset: number; readonly partition?: number | undefined }
  /** A `position` of a record or batch: goes on behind it, in all partitions of that read. */
  | (string & {})

export type PartitionPosition =
  | { readonly at: 'earliest' }
  | { readonly at: 'latest' }
  | { readonly at: 'offset'; readonly offset: number }
  | { readonly at: 'time'; readonly timeMs: number }

/** The start of a read, before the number of partitions is known. */
export interface ReadStart {
  /** Partitions that the position names; others of the topic begin at `others`. */
  readonly named: ReadonlyMap<number, PartitionPosition>
  /** Null: only the named ones are read. */
  readonly others: PartitionPosition | null
}

const EARLIEST: PartitionPosition = { at: 'earliest' }

/** @throws INVALID_ARGUMENT naming what is wrong */
export function readStart(from: ReadFrom | undefined, partitions?: readonly number[]): ReadStart {
  if (from === 'earliest') return { named: new Map(), others: EARLIEST }
  if (from === 'latest') return { named: new Map(), others: { at: 'latest' } }
  // A partition that a token does not name was added later: all of it is new.
  if (typeof from === 'string') return { named: parseToken(from), others: EARLIEST }
  if (typeof from !== 'object' || from === null || !('time' in from || 'offset' in from)) throw noStart(from)
  if ('time' in from) {
    const timeMs = Number(from.time)
    if (!Number.isSafeInteger(timeMs) || timeMs < 0) {
      throw new MillraceError('INVALID_ARGUMENT', `from.time: ${String(from.time)} is no time in ms since 1970`)
    }
    return { named: new Map(), others: { at: 'time', timeMs } }
  }
  checkWhole(from.offset, 'from.offset')
  const partition = from.partition ?? (partitions?.length === 1 ? partitions[0] : undefined)
  if (partition === undefined) {
    throw new MillraceError('INVALID_ARGUMENT', 'from.partition: an offset counts within one partition: name it')
  }
  checkWhole(partition, 'from.partition')
  return { named: new Map([[partition, { at: 'offset', offset: from.offset }]]), others: null }
}

function noStart(from: unknown): MillraceError {
  const given = from === undefined ? 'is missing' : `${JSON.stringify(from)} is none`
  return new MillraceError(
    'INVALID_ARGUMENT',
    `from ${given}: use 'earliest', 'latest', a position, { time } or { offset, partition }`,
  )
}

function checkWhole(value: number, name: string): void {
  if (Number.isSafeInteger(value) && value >= 0) return
  throw new MillraceError('INVALID_ARGUMENT', `${name}: ${value} is no whole number from 0 on`)
}

export function wirePosition(position: PartitionPosition): MessageInitShape<typeof StartPositionSchema> {
  switch (position.at) {
    case 'earliest':
      return { position: { case: 'earliest', value: true } }
    case 'latest':
      return { position: { case: 'latest', value: true } }
    case 'offset':
      return { position: { case: 'offset', value: BigInt(position.offset) } }
    case 'time':
      return { position: { case: 'time', value: BigInt(position.timeMs) } }
  }
}

/** @param now the time of `latest` in a partition that has not answered yet */
export function positionToken(positions: readonly (readonly [number, PartitionPosition])[], now: number): string {
  return positions.map(([partition, position]) => `${partition}:${itemOf(position, now)}`).join(',')
}

function itemOf(position: PartitionPosition, now: number): string {
  switch (position.at) {
    case 'offset':
      return String(position.offset)
    case 'earliest':
      return 'earliest'
    case 'latest':
      return `t${now}`
    case 'time':
      return `t${position.timeMs}`
  }
}

function parseToken(token: string): Map<number, PartitionPosition> {
  const positions = new Map<number, PartitionPosition>()
  for (const item of token.split(',')) {
    const match = /^(\d{1,4}):(?:(\d{1,16})|t(\d{1,16})|(earliest))$/.exec(item)
    const partition = Number(match?.[1])
    if (match === null || positions.has(partition)) throw badToken(token)
    if (match[4] !== undefined) positions.set(partition, EARLIEST)
    else if (match[3] !== undefined) positions.set(partition, { at: 'time', timeMs: Number(match[3]) })
    else positions.set(partition, { at: 'offset', offset: Number(match[2]) })
  }
  return positions
}

function badToken(token: string): MillraceError {
  return new MillraceError(
    'INVALID_ARGUMENT',
    `from: ${JSON.stringify(token.slice(0, 80))} is neither 'earliest' nor 'latest' nor a position of a read`,
  )
}
