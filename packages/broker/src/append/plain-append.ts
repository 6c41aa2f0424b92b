/**
 * Plain records, from callers without an encoder: distributes them over partitions, encodes one record set per
 * partition and brings each to its leader. Records without a key of one call stay together and in order.
 */

import type { Expectation as WireExpectation, ProducerPosition as WireProducer } from '@millrace/proto'
import { encodeRecordSet, keyHash, MillraceError, partitionOf, type RecordInput } from '@millrace/record'
import type { Appended, TopicInfo } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import { toMillraceError } from '../services/connect-error.ts'
import { type AppendCall, appendToLeader } from './append-router.ts'
import { checkBatch } from './partition-append.ts'

export interface PlainAppend {
  readonly records: readonly RecordInput[]
  /** Absent: by key, or in turn. */
  readonly partition?: number | undefined
  readonly producer?: WireProducer | undefined
  readonly expect?: WireExpectation | undefined
}

/** What one partition took. */
export interface PartitionAppended extends Appended {
  readonly partition: number
}

/** Partitions in turn, for calls without a key. One per node. */
export class TurnPicker {
  #next = 0

  pick(partitions: number): number {
    this.#next = (this.#next + 1) % Number.MAX_SAFE_INTEGER
    return this.#next % partitions
  }
}

/**
 * Appends the records.
 *
 * @returns one result per partition, in the order in which the partitions first appear in the records
 * @throws MillraceError; where some partitions took their records and others did not, the outcome is `unknown` and the
 *   details name the partitions that did
 */
export async function appendPlain(
  context: BrokerContext,
  turns: TurnPicker,
  topic: TopicInfo,
  request: PlainAppend,
  call: AppendCall,
): Promise<readonly PartitionAppended[]> {
  const byPartition = distribute(turns, topic, request)
  if (byPartition.size > 1 && (request.producer !== undefined || request.expect !== undefined)) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `producer and expect need one partition, and these records go to ${byPartition.size}: set partition`,
    )
  }
  const batches = [...byPartition].map(([partition, records]) => {
    const { bytes } = encodeRecordSet(records)
    const { producer, expect } = request
    return { partition, batch: checkBatch({ payload: bytes, producer, expect }) }
  })
  const results = await Promise.allSettled(
    batches.map(({ partition, batch }) => appendToLeader(context, topic, partition, batch, call)),
  )
  const stored: PartitionAppended[] = []
  for (const [i, result] of results.entries()) {
    if (result.status === 'fulfilled') stored.push({ partition: batches[i]!.partition, ...result.value })
  }
  const failed = results.find(result => result.status === 'rejected')
  if (failed === undefined) return stored
  throw stored.length === 0 && results.length === 1 ? failed.reason : partlyStored(failed.reason, stored, results)
}

function distribute(turns: TurnPicker, topic: TopicInfo, request: PlainAppend): Map<number, RecordInput[]> {
  const partitions = topic.partitions.length
  const byPartition = new Map<number, RecordInput[]>()
  let turn: number | undefined
  for (const record of request.records) {
    let partition = request.partition
    if (partition === undefined && record.key != null) partition = partitionOf(keyHash(record.key), partitions)
    if (partition === undefined) {
      turn ??= turns.pick(partitions)
      partition = turn
    }
    const records = byPartition.get(partition)
    if (records === undefined) byPartition.set(partition, [record])
    else records.push(record)
  }
  if (byPartition.size === 0) throw new MillraceError('INVALID_ARGUMENT', 'records: there is none to append')
  return byPartition
}

function partlyStored(
  reason: unknown,
  stored: readonly PartitionAppended[],
  results: readonly PromiseSettledResult<Appended>[],
): MillraceError {
  const error = toMillraceError(reason)
  const allRefused = results.every(
    result => result.status === 'rejected' && toMillraceError(result.reason).outcome === 'not_stored',
  )
  if (allRefused) return error
  const partitions = stored.map(({ partition }) => partition).join(',')
  return new MillraceError(
    error.code,
    `${error.message} (partitions that took their records: ${partitions || 'none known'})`,
    {
      cause: error,
      outcome: 'unknown',
      details: { ...error.details, storedPartitions: partitions },
    },
  )
}
