/** What a GET of records asks for. */
import { MillraceError } from '@millrace/record'
import type { TopicInfo } from '@millrace/topics'
import { checkPartition } from '../cluster/topic-lookup.ts'
import { type PositionVector, parsePositions } from '../read/position-vector.ts'
import type { StartPosition } from '../read/start-position.ts'
import { booleanParameter, numberParameter, parseQuery, type Query } from './query.ts'

export interface ReadQuery {
  readonly partitions: readonly number[]
  /** Where each partition begins. */
  readonly from: (partition: number) => StartPosition
  readonly live: boolean
  readonly max: number
}

/**
 * @param lastEventId what an SSE client that comes back had last; wins over `from`
 * @throws MillraceError INVALID_ARGUMENT, UNKNOWN_PARTITION
 */
export function readQuery(topic: TopicInfo, text: string, lastEventId: string | undefined): ReadQuery {
  const query = parseQuery(text, ['from', 'partition', 'live', 'max'])
  const partition = numberParameter(query, 'partition')
  if (partition !== undefined) checkPartition(topic, partition)
  const all = topic.partitions.map(entry => entry.partition)
  const live = booleanParameter(query, 'live')
  return {
    partitions: partition === undefined ? all : [partition],
    from: startOf(topic, query, partition, live, lastEventId),
    live,
    max: numberParameter(query, 'max') ?? Number.POSITIVE_INFINITY,
  }
}

function startOf(
  topic: TopicInfo,
  query: Query,
  partition: number | undefined,
  live: boolean,
  lastEventId: string | undefined,
): (partition: number) => StartPosition {
  const text = lastEventId ?? query.from ?? (live ? 'latest' : 'earliest')
  if (text === 'earliest' || text === 'latest') return () => ({ type: text })
  if (/^\d{1,16}$/.test(text)) {
    if (partition === undefined && topic.partitions.length > 1) {
      throw new MillraceError(
        'INVALID_ARGUMENT',
        `parameter from: an offset needs a partition; topic ${topic.name} has ${topic.partitions.length}. Add partition=, or give one offset per partition as 0:12,1:7`,
      )
    }
    const offset = Number(text)
    if (Number.isSafeInteger(offset)) return () => ({ type: 'offset', offset })
  }
  const positions = parsePositions(text)
  if (positions !== undefined) return fromVector(topic, positions)
  const timeMs = /^\d{4}-\d{2}-\d{2}(T|$)/.test(text) ? Date.parse(text) : Number.NaN
  if (timeMs >= 0) return () => ({ type: 'time', timeMs })
  const where = lastEventId === undefined ? 'parameter from' : 'header Last-Event-ID'
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `${where}: ${JSON.stringify(text)} is none of earliest, latest, an offset, offsets as 0:12,1:7, a time such as 2026-01-31T12:00:00Z`,
  )
}

/** Partitions that the vector does not name begin at their log start. */
function fromVector(topic: TopicInfo, positions: PositionVector): (partition: number) => StartPosition {
  for (const partition of positions.keys()) checkPartition(topic, partition)
  return partition => {
    const offset = positions.get(partition)
    return offset === undefined ? { type: 'earliest' } : { type: 'offset', offset }
  }
}
