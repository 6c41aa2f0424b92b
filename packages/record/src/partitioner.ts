/**
 * Which partition a key belongs to. Every client must answer alike, for ever: changing anything here moves keys, and
 * order per key ends there. Test vectors: docs/internals/record-format.md and vectors/partitioner.json.
 *
 * CRC-32 is what a record set carries per key anyway (and native in Node), but it is linear: similar keys differ in few
 * bits, in places that depend on the key. The finaliser of MurmurHash3 spreads them over the whole word; multiply-shift
 * then takes the *high* bits, without the bias and the division of a modulo.
 */
import { crc32 } from '#crc32'
import { crc32 as shortCrc32 } from './crc32-portable.ts'
import { MillraceError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** Hash of a key as record sets carry it: CRC-32, unsigned. The empty key is a key, with hash 0. */
export function keyHash(key: Uint8Array): number {
  return key.length <= SHORT_KEY_BYTES ? shortCrc32(key) : crc32(key)
}

/** Below this a loop here is faster than a call into native code. */
const SHORT_KEY_BYTES = 32

/**
 * Partition of a key.
 *
 * @param hash the key's {@link keyHash}
 * @param partitions number of partitions of the topic, 1 to `LIMITS.partitionsPerTopicMax`
 * @returns 0 to `partitions` − 1
 * @throws INVALID_ARGUMENT where `partitions` is out of range
 */
export function partitionOf(hash: number, partitions: number): number {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > LIMITS.partitionsPerTopicMax) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `partitions: ${partitions} is not in 1 to ${LIMITS.partitionsPerTopicMax} (partitionsPerTopicMax)`,
    )
  }
  // Exact: 32 bits times 11 bits is below 2^53.
  return Math.floor((fmix32(hash) * partitions) / 0x1_0000_0000)
}

/** The 32-bit finaliser of MurmurHash3 (Austin Appleby, public domain). Unsigned in, unsigned out. */
export function fmix32(value: number): number {
  let h = value
  h ^= h >>> 16
  h = Math.imul(h, 0x85eb_ca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2_ae35)
  h ^= h >>> 16
  return h >>> 0
}
