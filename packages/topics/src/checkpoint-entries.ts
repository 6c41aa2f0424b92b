/**
 * The form in which state is checkpointed: entries of key and value, each with a checksum, and one record about all of
 * them with the applied position. Pure; the stores supply reading and writing inside one transaction.
 *
 * Invariant: the digest is the sum of the entries' checksums modulo 2^32, so it can be kept up to date entry by entry
 * and shows an entry that is missing, stale or damaged when everything is read back.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { CheckpointMeta } from '@millrace/proto'
import { CheckpointMetaSchema } from '@millrace/proto'
import type { AppliedPosition } from '@millrace/raft-node'
import { crc32 } from '@millrace/record'
import type { Checkpoint, StateEntry, StoredState } from './state-store.ts'
import { StateStoreError } from './state-store.ts'

/** Version of what the entries mean. A store with a newer one is refused. */
const CHECKPOINT_FORMAT = 1

const CHECKSUM_BYTES = 4
const META_KEY = new Uint8Array(0)

/** One transaction on the values of one group. Keys and values are copied in, and are views out. */
export interface GroupValues {
  get(key: Uint8Array): Uint8Array | undefined
  put(key: Uint8Array, value: Buffer): void
  remove(key: Uint8Array): void
  /** Everything of the group, in order of the keys, the empty key included. */
  all(): Iterable<StateEntry>
}

/** The sum that identifies a state: equal on all replicas at equal applied index. */
export function digestOf(entries: Iterable<StateEntry>): number {
  let digest = 0
  for (const entry of entries) digest = (digest + checksumOf(entry.key, entry.value)) >>> 0
  return digest
}

/**
 * Writes `checkpoint` onto what is there. Everything is checked before the first change.
 *
 * @throws StateStoreError MISSING where a partial checkpoint has nothing to go onto, CORRUPT
 */
export function writeCheckpoint(values: GroupValues, group: number, checkpoint: Checkpoint): void {
  let entries = 0
  let digest = 0
  if (checkpoint.full) {
    for (const { key } of [...values.all()]) values.remove(key)
  } else {
    const meta = values.get(META_KEY)
    if (meta === undefined)
      throw new StateStoreError('MISSING', group, 'there is no checkpoint that the change goes onto')
    ;({ entries, digest } = decodeMeta(group, meta))
  }
  for (const { key, value } of checkpoint.puts) {
    const old = checkpoint.full ? undefined : values.get(key)
    if (old === undefined) entries++
    else digest -= checksumIn(group, old)
    const checksum = checksumOf(key, value)
    digest = (digest + checksum) >>> 0
    values.put(key, withChecksum(checksum, value))
  }
  for (const key of checkpoint.full ? [] : checkpoint.deletes) {
    const old = values.get(key)
    if (old === undefined) continue
    entries--
    digest = (digest - checksumIn(group, old)) >>> 0
    values.remove(key)
  }
  values.put(META_KEY, encodeMeta(checkpoint, entries, digest))
}

/**
 * Reads back and verifies a group's state. The result shares nothing with the store.
 *
 * @throws StateStoreError CORRUPT, FORMAT_VERSION
 */
export function readCheckpoint(values: GroupValues, group: number): StoredState | undefined {
  const check = new CheckpointCheck(group)
  const entries: StateEntry[] = []
  for (const { key, value } of values.all()) {
    check.add(key, value)
    if (key.length > 0) {
      // Copies: `slice` of the Buffers that stores give out would be views.
      entries.push({ key: new Uint8Array(key), value: new Uint8Array(value.subarray(CHECKSUM_BYTES)) })
    }
  }
  const applied = check.end()
  return applied === undefined ? undefined : { applied, entries }
}

/** Verifies what is stored of one group, value by value, then as a whole. Keeps nothing of what it is shown. */
export class CheckpointCheck {
  readonly #group: number
  #meta: CheckpointMeta | undefined
  #entries = 0
  #digest = 0

  constructor(group: number) {
    this.#group = group
  }

  /** @throws StateStoreError CORRUPT, FORMAT_VERSION where this value is not what was written */
  add(key: Uint8Array, stored: Uint8Array): void {
    if (key.length === 0) {
      this.#meta = decodeMeta(this.#group, stored)
      return
    }
    const checksum = checksumOf(key, stored.subarray(CHECKSUM_BYTES))
    if (checksum !== checksumIn(this.#group, stored))
      throw corrupt(this.#group, `entry ${keyOf(key)} does not match its checksum`)
    this.#digest = (this.#digest + checksum) >>> 0
    this.#entries++
  }

  /**
   * After everything that there is.
   *
   * @returns the position that the state is of, undefined where nothing is stored
   * @throws StateStoreError CORRUPT where an entry is missing, stale or too many
   */
  end(): AppliedPosition | undefined {
    const meta = this.#meta
    if (meta === undefined) {
      if (this.#entries === 0) return undefined
      throw corrupt(this.#group, `${this.#entries} entries without the record about them`)
    }
    if (meta.entries !== this.#entries || meta.digest !== this.#digest)
      throw corrupt(this.#group, `${this.#entries} entries of ${meta.entries} were found, or one of them is stale`)
    return { index: Number(meta.appliedIndex), term: Number(meta.appliedTerm) }
  }
}

function encodeMeta(checkpoint: Checkpoint, entries: number, digest: number): Buffer {
  const bytes = toBinary(
    CheckpointMetaSchema,
    create(CheckpointMetaSchema, {
      format: CHECKPOINT_FORMAT,
      appliedIndex: BigInt(checkpoint.applied.index),
      appliedTerm: BigInt(checkpoint.applied.term),
      entries,
      digest,
    }),
  )
  return withChecksum(crc32(bytes), bytes)
}

function decodeMeta(group: number, stored: Uint8Array): CheckpointMeta {
  const bytes = stored.subarray(CHECKSUM_BYTES)
  if (checksumIn(group, stored) !== crc32(bytes)) throw corrupt(group, 'the record about its entries is damaged')
  const meta = fromBinary(CheckpointMetaSchema, bytes)
  if (meta.format === CHECKPOINT_FORMAT) return meta
  throw new StateStoreError(
    'FORMAT_VERSION',
    group,
    `format ${meta.format} is not ${CHECKPOINT_FORMAT}: newer software wrote it`,
  )
}

function checksumOf(key: Uint8Array, value: Uint8Array): number {
  return crc32(value, crc32(key))
}

function checksumIn(group: number, stored: Uint8Array): number {
  if (stored.length < CHECKSUM_BYTES) throw corrupt(group, 'a value is too short to hold its checksum')
  return (stored[0]! | (stored[1]! << 8) | (stored[2]! << 16) | (stored[3]! << 24)) >>> 0
}

/** From Node's pool: thousands of these are made at a time, and none outlives the transaction. */
function withChecksum(checksum: number, value: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(CHECKSUM_BYTES + value.length)
  bytes.writeUInt32LE(checksum, 0)
  bytes.set(value, CHECKSUM_BYTES)
  return bytes
}

function keyOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('hex')
}

function corrupt(group: number, what: string): StateStoreError {
  return new StateStoreError('CORRUPT', group, what)
}
