/** One record set on its way to one partition: checked here, appended here or on the leader by somebody else. */

import type { Expectation as WireExpectation, ProducerPosition as WireProducer } from '@millrace/proto'
import { crc32, LIMITS, MillraceError, type RecordSetIndex, recordSetIndex } from '@millrace/record'
import type { AppendBatch, Appended, Expectation, Partition, ProducerPosition } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import type { NodeDirectory } from '../cluster/node-directory.ts'
import { notLeader } from '../cluster/not-leader.ts'

export interface BatchParts {
  readonly payload: Uint8Array
  /** The memory around it belongs to nobody else: its frame may be made there. */
  readonly payloadOwned?: boolean
  /** As the client computed it; absent where the batch came over a channel that carries none. */
  readonly payloadCrc?: number
  /** As the client says; checked against the set. */
  readonly count?: number
  readonly codec?: number
  readonly producer?: WireProducer | undefined
  readonly expect?: WireExpectation | undefined
}

/**
 * Checks a record set against its checksum, its own index and the limits. The payload is not copied.
 *
 * @throws MillraceError CORRUPT_BATCH, RECORD_TOO_LARGE naming the limit, INVALID_ARGUMENT
 */
export function checkBatch(parts: BatchParts): AppendBatch {
  const { payload } = parts
  if (payload.length > LIMITS.recordSetBytesMax) {
    throw new MillraceError(
      'RECORD_TOO_LARGE',
      `record set bytes: ${payload.length} is above the limit of ${LIMITS.recordSetBytesMax} (recordSetBytesMax)`,
      { details: { limit: 'recordSetBytesMax', size: payload.length, max: LIMITS.recordSetBytesMax } },
    )
  }
  const payloadCrc = crc32(payload)
  if (parts.payloadCrc !== undefined && parts.payloadCrc !== payloadCrc) {
    throw new MillraceError(
      'CORRUPT_BATCH',
      `record set of ${payload.length} bytes: its checksum is ${payloadCrc}, the request says ${parts.payloadCrc}`,
    )
  }
  const index = recordSetIndex(payload)
  checkIndex(index, parts)
  const batch = { payload, payloadCrc, codec: index.codec, count: index.count }
  const producer = producerPosition(parts.producer)
  const expect = expectation(parts.expect)
  const owned = parts.payloadOwned === true && { payloadOwned: true }
  return { ...batch, ...owned, ...(producer && { producer }), ...(expect && { expect }) }
}

function checkIndex(index: RecordSetIndex, { count, codec }: BatchParts): void {
  if (count !== undefined && count !== index.count) {
    throw new MillraceError('CORRUPT_BATCH', `count: the request says ${count}, its record set holds ${index.count}`)
  }
  if (codec !== undefined && codec !== index.codec) {
    throw new MillraceError('CORRUPT_BATCH', `codec: the request says ${codec}, its record set ${index.codec}`)
  }
  // Of records in a compressed block only the sum is known; a set of one record is that record.
  if (index.count === 1 && index.keys.length + index.blockLength > LIMITS.recordBytesMax + VALUE_BLOCK_OVERHEAD_BYTES) {
    throw new MillraceError(
      'RECORD_TOO_LARGE',
      `record bytes: about ${index.keys.length + index.blockLength} is above the limit of ${LIMITS.recordBytesMax} (recordBytesMax)`,
      { details: { limit: 'recordBytesMax', max: LIMITS.recordBytesMax } },
    )
  }
}

/** Lengths, tags and header framing of one record in a value block: at most 64 headers of some 20 bytes. */
const VALUE_BLOCK_OVERHEAD_BYTES = 4_096

function producerPosition(wire: WireProducer | undefined): ProducerPosition | undefined {
  if (wire === undefined) return undefined
  if (wire.id.length !== 16) {
    throw new MillraceError('INVALID_ARGUMENT', `producer.id: must have 16 bytes, not ${wire.id.length}`)
  }
  // The id outlives the request in the producer table, and the frame may be made in the memory of the request: it gets
  // a buffer of its own. `slice` of a Buffer would be a view.
  return { id: new Uint8Array(wire.id), epoch: wire.epoch, sequence: wire.sequence, retry: wire.retry }
}

function expectation(wire: WireExpectation | undefined): Expectation | undefined {
  const condition = wire?.condition
  switch (condition?.case) {
    case undefined:
      return undefined
    case 'partitionOffset':
      return { type: 'partitionOffset', offset: Number(condition.value) }
    case 'keyOffset':
      return { type: 'keyOffset', offset: Number(condition.value) }
    case 'keyAbsent':
      return { type: 'keyAbsent' }
  }
}

/** `partition.append` with the node's counters and the latency histogram around it; refusals name the leader's URL. */
export function appendCounted(
  { counters, directory }: Pick<BrokerContext, 'counters' | 'directory'>,
  partition: Partition,
  batch: AppendBatch,
  done: (result: Appended | MillraceError) => void,
): void {
  const started = performance.now()
  partition.append(batch, result => {
    if (result instanceof MillraceError) {
      counters.appendsRefused++
      done(named(directory, partition, result))
      return
    }
    counters.appendSeconds.observe((performance.now() - started) / 1_000)
    if (!result.duplicate) {
      counters.recordsAppended += result.count
      counters.bytesAppended += batch.payload.length
    }
    done(result)
  })
}

/** A partition says NOT_LEADER without addresses; the directory has them. */
function named(directory: NodeDirectory, partition: Partition, error: MillraceError): MillraceError {
  if (error.code !== 'NOT_LEADER' || error.details.leaderUrl !== undefined) return error
  const { topic, partition: number, leaderNode, term } = partition
  return notLeader(directory, { what: `${topic}/${number}`, leaderNode, term })
}
