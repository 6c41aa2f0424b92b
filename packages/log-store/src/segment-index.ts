/**
 * The sparse index of one segment: where to start looking for an index, an offset or a time. In memory while the segment
 * is in use, in a file beside it so that it need not be scanned again.
 *
 * The file is never made durable and never believed: whoever follows an entry verifies the frames that it leads to.
 */
import { type Frame, FrameKind } from '@millrace/record'
import { type Disk, readWhole, removeIfThere } from './disk.ts'
import { getU64, isSealed, Magic, openStructure, sealStructure, setU64, startStructure } from './format.ts'
import { firstWhere } from './frame-sequence.ts'
import { indexFileName, type SegmentName } from './segment-header.ts'

const HEADER_BYTES = 64
const ENTRY_BYTES = 64
/** Bytes of log between two entries, at least. */
const STRIDE_BYTES = 16_384

export interface IndexEntry {
  readonly index: number
  readonly offset: number
  readonly timestamp: number
  readonly term: number
  /** Of the frame in the file. */
  readonly position: number
  readonly chainBefore: number
  readonly kind: number
  readonly roundPosition: number
}

/** Which segment an index file belongs to. */
export interface IndexOwner extends SegmentName {
  readonly salt: Uint8Array
  readonly group: number
}

export class SegmentIndex {
  readonly #entries: IndexEntry[] = []
  #saved = 0

  get entries(): readonly IndexEntry[] {
    return this.#entries
  }

  /** Entries that are not in the file yet. */
  get unsaved(): number {
    return this.#entries.length - this.#saved
  }

  /** Offers the next frame of the segment; kept where an entry is due. */
  offer(frame: Frame, position: number, chainBefore: number, roundPosition: number): void {
    const last = this.#entries.at(-1)
    const { header } = frame
    const due =
      last === undefined ||
      position - last.position >= STRIDE_BYTES ||
      header.term !== last.term ||
      header.kind === FrameKind.configuration
    if (!due) return
    this.#entries.push({
      index: header.index,
      offset: header.baseOffset,
      timestamp: header.timestamp,
      term: header.term,
      position,
      chainBefore,
      kind: header.kind,
      roundPosition,
    })
  }

  /** Forgets entries above `limit`. */
  cutAbove(limit: number): void {
    while ((this.#entries.at(-1)?.index ?? 0) > limit) this.#entries.pop()
    this.#saved = Math.min(this.#saved, this.#entries.length)
  }

  /** Forgets entries of frames at or after a position in the segment. */
  cutFrom(position: number): void {
    while ((this.#entries.at(-1)?.position ?? -1) >= position) this.#entries.pop()
    this.#saved = Math.min(this.#saved, this.#entries.length)
  }

  /** The last entry for which `before` holds, or the first entry; `before` is true, then false, along the log. */
  lastWhere(before: (entry: IndexEntry) => boolean): IndexEntry | undefined {
    const at = firstWhere(0, this.#entries.length, i => !before(this.#entries[i]!))
    return this.#entries[Math.max(0, at - 1)]
  }

  /** Appends what is not in the file yet. Not durable. */
  async save(disk: Disk, folder: string, owner: IndexOwner): Promise<void> {
    const from = this.#saved
    const fresh = this.#entries.slice(from)
    this.#saved = this.#entries.length
    const path = `${folder}/${indexFileName(owner)}`
    if (from === 0) await removeIfThere(disk, path)
    const file = await disk.open(path, from === 0 ? 'create' : 'write')
    try {
      const bytes = fresh.map(encodeEntry)
      if (from === 0) await file.writev([encodeHeader(owner), ...bytes], 0)
      else await file.writev(bytes, HEADER_BYTES + from * ENTRY_BYTES)
    } finally {
      await file.close()
    }
  }

  /** Reads what a file says up to `limit`, as far as its own checksums hold; null where it is of another segment or start. */
  static async load(disk: Disk, folder: string, owner: IndexOwner, limit: number): Promise<SegmentIndex | null> {
    const bytes = await readWhole(disk, `${folder}/${indexFileName(owner)}`)
    if (bytes === null || !isHeaderOf(bytes, owner)) return null
    const index = new SegmentIndex()
    for (let at = HEADER_BYTES; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
      const entry = decodeEntry(bytes.subarray(at, at + ENTRY_BYTES))
      if (entry === null || entry.index > limit || entry.index <= (index.#entries.at(-1)?.index ?? owner.base)) break
      index.#entries.push(entry)
    }
    // One that does not begin at the first frame would lead past frames.
    if (index.#entries.length > 0 && index.#entries[0]!.index !== owner.base + 1) return null
    index.#saved = index.#entries.length
    return index
  }
}

function encodeHeader(owner: IndexOwner): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  const view = startStructure(bytes, Magic.index)
  view.setUint32(12, owner.generation, true)
  bytes.set(owner.salt, 16)
  setU64(view, 24, owner.group)
  setU64(view, 32, owner.base)
  sealStructure(bytes)
  return bytes
}

function isHeaderOf(bytes: Uint8Array, owner: IndexOwner): boolean {
  const view = openStructure(bytes.subarray(0, HEADER_BYTES), HEADER_BYTES, Magic.index)
  if (typeof view === 'string') return false
  const saltMatches = owner.salt.every((byte, at) => bytes[16 + at] === byte)
  return saltMatches && getU64(view, 24) === owner.group && getU64(view, 32) === owner.base
}

function encodeEntry(entry: IndexEntry): Uint8Array {
  const bytes = new Uint8Array(ENTRY_BYTES)
  const view = new DataView(bytes.buffer)
  setU64(view, 0, entry.index)
  setU64(view, 8, entry.offset)
  setU64(view, 16, entry.timestamp)
  setU64(view, 24, entry.term)
  setU64(view, 32, entry.position)
  view.setUint32(40, entry.chainBefore, true)
  view.setUint8(44, entry.kind)
  setU64(view, 48, entry.roundPosition)
  sealStructure(bytes)
  return bytes
}

function decodeEntry(bytes: Uint8Array): IndexEntry | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, ENTRY_BYTES)
  if (!isSealed(bytes)) return null
  return {
    index: getU64(view, 0),
    offset: getU64(view, 8),
    timestamp: getU64(view, 16),
    term: getU64(view, 24),
    position: getU64(view, 32),
    chainBefore: view.getUint32(40, true),
    kind: view.getUint8(44),
    roundPosition: getU64(view, 48),
  }
}
