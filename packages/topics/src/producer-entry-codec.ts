/**
 * A producer of the table as bytes of a checkpoint, in a fixed layout: docs/internals/state-machines.md. Thousands may
 * change between two checkpoints, and all are encoded in one go, while nothing else of the node runs.
 */
import { InvariantError } from './invariant-error.ts'
import type { ProducerEntry, StoredBatch } from './producer-table.ts'

const HEAD_BYTES = 16
const BATCH_BYTES = 32
const U32 = 0x1_0000_0000

export function encodeProducerEntry({ epoch, lastIndex, batches }: ProducerEntry): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + BATCH_BYTES * batches.length)
  bytes.writeUInt32LE(epoch, 0)
  bytes.writeUInt32LE(batches.length, 4)
  writeUint64(bytes, lastIndex, 8)
  let at = HEAD_BYTES
  for (const { sequence, count, baseOffset, timestamp, payloadCrc } of batches) {
    bytes.writeUInt32LE(sequence, at)
    bytes.writeUInt32LE(count, at + 4)
    writeUint64(bytes, baseOffset, at + 8)
    writeUint64(bytes, timestamp, at + 16)
    bytes.writeUInt32LE(payloadCrc, at + 24)
    bytes.writeUInt32LE(0, at + 28)
    at += BATCH_BYTES
  }
  return bytes
}

/** @throws InvariantError where the length is not that of a producer */
export function decodeProducerEntry(value: Uint8Array): ProducerEntry {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  const count = bytes.length < HEAD_BYTES ? 0 : bytes.readUInt32LE(4)
  if (count === 0 || bytes.length !== HEAD_BYTES + BATCH_BYTES * count) {
    throw new InvariantError(`a producer in a checkpoint has ${bytes.length} bytes`)
  }
  const batches = Array.from({ length: count }, (_, i) => decodeBatch(bytes, HEAD_BYTES + BATCH_BYTES * i))
  return { epoch: bytes.readUInt32LE(0), lastIndex: readUint64(bytes, 8), batches }
}

function decodeBatch(bytes: Buffer, at: number): StoredBatch {
  return {
    sequence: bytes.readUInt32LE(at),
    count: bytes.readUInt32LE(at + 4),
    baseOffset: readUint64(bytes, at + 8),
    timestamp: readUint64(bytes, at + 16),
    payloadCrc: bytes.readUInt32LE(at + 24),
  }
}

function writeUint64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % U32, at)
  bytes.writeUInt32LE(Math.floor(value / U32), at + 4)
}

function readUint64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * U32 + bytes.readUInt32LE(at)
}
