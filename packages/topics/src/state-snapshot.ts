/**
 * The state of a machine as the content of a snapshot: its checkpoint, as it would be stored. Checksums are those of the
 * snapshot around it. Layout: docs/internals/state-machines.md, "Snapshots".
 */
import type { AppliedPosition } from '@millrace/raft-node'
import { InvariantError } from './invariant-error.ts'
import type { StateEntry, StoredState } from './state-store.ts'

const FORMAT = 1
const HEAD_BYTES = 24
const ENTRY_HEAD_BYTES = 8
/** Entries are gathered into pieces of about this size. */
const PIECE_BYTES = 64 * 1024

/** The content, in pieces. `entries` are read while others go on with the state: nobody may change them. */
export async function* encodeStateSnapshot(
  applied: AppliedPosition,
  entries: readonly StateEntry[],
): AsyncGenerator<Uint8Array> {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32LE(FORMAT, 0)
  head.writeUInt32LE(entries.length, 4)
  head.writeBigUInt64LE(BigInt(applied.index), 8)
  head.writeBigUInt64LE(BigInt(applied.term), 16)
  let gathered: Uint8Array[] = [head]
  let bytes = HEAD_BYTES
  for (const { key, value } of entries) {
    const lengths = Buffer.alloc(ENTRY_HEAD_BYTES)
    lengths.writeUInt32LE(key.length, 0)
    lengths.writeUInt32LE(value.length, 4)
    gathered.push(lengths, key, value)
    bytes += ENTRY_HEAD_BYTES + key.length + value.length
    if (bytes < PIECE_BYTES) continue
    yield Buffer.concat(gathered)
    gathered = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(gathered)
}

/** @throws InvariantError where the content is not whole, or of a format that this version does not know */
export async function decodeStateSnapshot(content: AsyncIterable<Uint8Array>): Promise<StoredState> {
  const pieces: Uint8Array[] = []
  for await (const piece of content) pieces.push(Uint8Array.from(piece))
  const bytes = Buffer.concat(pieces)
  if (bytes.length < HEAD_BYTES) throw new InvariantError('snapshot of a state without its head')
  const format = bytes.readUInt32LE(0)
  if (format !== FORMAT) throw new InvariantError(`snapshot of a state in format ${format}: a newer version is needed`)
  const applied = { index: Number(bytes.readBigUInt64LE(8)), term: Number(bytes.readBigUInt64LE(16)) }
  const entries: StateEntry[] = []
  let at = HEAD_BYTES
  for (let count = bytes.readUInt32LE(4); count > 0; count--) {
    if (at + ENTRY_HEAD_BYTES > bytes.length) throw new InvariantError('snapshot of a state that is cut off')
    const valueAt = at + ENTRY_HEAD_BYTES + bytes.readUInt32LE(at)
    const end = valueAt + bytes.readUInt32LE(at + 4)
    if (end > bytes.length) throw new InvariantError('snapshot of a state that is cut off')
    entries.push({ key: bytes.subarray(at + ENTRY_HEAD_BYTES, valueAt), value: bytes.subarray(valueAt, end) })
    at = end
  }
  if (at !== bytes.length) throw new InvariantError('snapshot of a state with something after its end')
  return { applied, entries }
}
