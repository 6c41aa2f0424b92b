/** A partition's state as checkpoint entries and back: one entry for the partition, one per producer. Pure. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { PartitionStateSchema } from '@millrace/proto'
import { InvariantError } from './invariant-error.ts'
import { decodeProducerEntry, encodeProducerEntry } from './producer-entry-codec.ts'
import type { ProducerEntry } from './producer-table.ts'
import type { StateEntry } from './state-store.ts'

const PARTITION = 0x53 // S
const PRODUCER = 0x50 // P
const PARTITION_KEY: Uint8Array = Uint8Array.of(PARTITION)

export interface PartitionPosition {
  readonly logStartOffset: number
  readonly nextOffset: number
  /** Index of the newest entry that gives up others: no producer is remembered from before it. 0: there is none. */
  readonly forgottenAt: number
}

export function encodePosition(position: PartitionPosition): StateEntry {
  const message = create(PartitionStateSchema, {
    logStartOffset: BigInt(position.logStartOffset),
    nextOffset: BigInt(position.nextOffset),
    forgottenAt: BigInt(position.forgottenAt),
  })
  return { key: PARTITION_KEY, value: toBinary(PartitionStateSchema, message) }
}

/** @param key as made by `producerKey` */
export function producerEntryKey(key: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(PRODUCER), Buffer.from(key, 'latin1')])
}

export function encodeProducer(key: string, entry: ProducerEntry): StateEntry {
  return { key: producerEntryKey(key), value: encodeProducerEntry(entry) }
}

/** @throws InvariantError where the entries, whose checksums hold, are not those of a partition */
export function decodePartition(entries: readonly StateEntry[]): {
  readonly position: PartitionPosition
  readonly producers: readonly (readonly [string, ProducerEntry])[]
} {
  let position: PartitionPosition | undefined
  const producers: (readonly [string, ProducerEntry])[] = []
  for (const { key, value } of entries) {
    if (key[0] === PARTITION) position = decodePosition(value)
    else if (key[0] === PRODUCER)
      producers.push([Buffer.from(key.subarray(1)).toString('latin1'), decodeProducerEntry(value)])
    else throw new InvariantError(`checkpoint of a partition with an entry of kind ${key[0]}`)
  }
  if (position === undefined) throw new InvariantError('checkpoint of a partition without its position')
  return { position, producers }
}

function decodePosition(value: Uint8Array): PartitionPosition {
  const message = fromBinary(PartitionStateSchema, value)
  const { logStartOffset, nextOffset, forgottenAt } = message
  return {
    ...{ logStartOffset: Number(logStartOffset), nextOffset: Number(nextOffset) },
    forgottenAt: Number(forgottenAt),
  }
}
