/**
 * Patch files: the frames of a hole, durable before anything is read from them. In memory a patch is a segment of one round,
 * so that it is scanned and read by the code that reads segments.
 *
 * A patch voids nothing and is never changed. One that cannot be read as a whole is not used, and not removed.
 */
import { type Disk, type DiskFile, openIfThere, removeIfThere } from './disk.ts'
import {
  allZero,
  type FormatFault,
  getU64,
  Magic,
  openStructure,
  SECTOR_BYTES,
  sealStructure,
  setU64,
  startStructure,
} from './format.ts'
import { positionAfter } from './frame-sequence.ts'
import type { Patch } from './log-pieces.ts'
import type { LogPosition } from './log-store.ts'
import { buildRound, type RoundContent } from './round.ts'
import { SALT_BYTES } from './round-record.ts'
import { NO_GAPS } from './segment.ts'
import { scanSegment } from './segment-scanner.ts'

const HEADER_BYTES = 128
/** Where the round starts. */
const ROUND_AT = SECTOR_BYTES

/** What the name of a patch says. */
export interface PatchName {
  readonly first: number
  readonly last: number
}

interface PatchHeader extends PatchName {
  readonly generation: number
  readonly salt: Uint8Array
  readonly group: number
  /** Where the log stood before the first entry. */
  readonly before: LogPosition
  readonly lastChain: number
}

export function patchFileName({ first, last }: PatchName): string {
  return `${hex16(first)}-${hex16(last)}.patch`
}

export function parsePatchFileName(name: string): PatchName | null {
  const match = /^([0-9a-f]{16})-([0-9a-f]{16})\.patch$/.exec(name)
  if (match === null) return null
  return { first: Number.parseInt(match[1]!, 16), last: Number.parseInt(match[2]!, 16) }
}

function hex16(index: number): string {
  return index.toString(16).padStart(16, '0')
}

/** Whose patch it is, and when it is made. */
export interface PatchOwner {
  readonly group: number
  readonly generation: number
  readonly salt: Uint8Array
}

/** The whole file. `content` is one round, its frames exactly those of the hole. */
export function encodePatch(owner: PatchOwner, content: RoundContent): readonly Uint8Array[] {
  const { frames, before } = content
  const header = new Uint8Array(ROUND_AT)
  const fixed = header.subarray(0, HEADER_BYTES)
  const view = startStructure(fixed, Magic.patch)
  const last = positionAfter(frames.at(-1)!)
  view.setUint32(12, owner.generation, true)
  header.set(owner.salt, 16)
  setU64(view, 24, owner.group)
  setU64(view, 32, before.index + 1)
  setU64(view, 40, last.index)
  setU64(view, 48, before.term)
  setU64(view, 56, before.timestamp)
  setU64(view, 64, before.nextOffset)
  view.setUint32(72, before.chain, true)
  view.setUint32(76, last.chain, true)
  sealStructure(fixed)
  const round = buildRound({ ...owner, number: 1, position: ROUND_AT, previousPosition: 0 }, content)
  return [header, ...round.buffers]
}

function decodeHeader(bytes: Uint8Array): PatchHeader | FormatFault {
  const view = openStructure(bytes.subarray(0, HEADER_BYTES), HEADER_BYTES, Magic.patch)
  if (typeof view === 'string') return view
  if (bytes.length < ROUND_AT) return 'short'
  if (!allZero(bytes, HEADER_BYTES)) return 'value'
  const first = getU64(view, 32)
  return {
    generation: view.getUint32(12, true),
    salt: bytes.slice(16, 16 + SALT_BYTES),
    group: getU64(view, 24),
    first,
    last: getU64(view, 40),
    before: {
      index: first - 1,
      term: getU64(view, 48),
      timestamp: getU64(view, 56),
      nextOffset: getU64(view, 64),
      chain: view.getUint32(72, true),
    },
    lastChain: view.getUint32(76, true),
  }
}

/** Reads and verifies a whole patch, or says what is wrong with it. Its limit is its last entry. */
export async function openPatch(disk: Disk, path: string, group: number, name: PatchName): Promise<Patch | string> {
  const file = await openIfThere(disk, path, 'read')
  if (file === null) return 'the file is gone'
  try {
    return await readPatch(file, path, group, name)
  } finally {
    await file.close()
  }
}

async function readPatch(file: DiskFile, path: string, group: number, name: PatchName): Promise<Patch | string> {
  const bytes = new Uint8Array(ROUND_AT)
  const patch = decodeHeader(bytes.subarray(0, await file.read(bytes, 0)))
  if (typeof patch === 'string') return `header of the patch: ${patch}`
  if (patch.group !== group || patch.first !== name.first || patch.last !== name.last) {
    return `its header is that of group ${patch.group}, entries ${patch.first} to ${patch.last}`
  }
  const { generation, salt, before: base } = patch
  const header = {
    length: ROUND_AT,
    generation,
    salt,
    group,
    base,
    predecessor: null,
    createdMs: 0,
    recycledBytes: 0,
    configurations: [],
  }
  const { stop, gaps, last, lastRound, end, framesEnd, index, configurations } = await scanSegment(file, header)
  if (stop.kind !== 'end') return `byte ${stop.position}: ${stop.detail}`
  if (gaps.length > 0 || lastRound?.record.position !== ROUND_AT) return 'not one whole round'
  if (last.index !== patch.last || last.chain !== patch.lastChain) return `it ends at entry ${last.index}`
  const source = { header, path, limit: last.index, end, lastRound: ROUND_AT, framesEnd, index, gaps: NO_GAPS }
  return { source, last, configurations }
}

/** Writes a patch aside; the caller makes it durable and gives it its name. */
export async function writePatchAside(disk: Disk, path: string, buffers: readonly Uint8Array[]): Promise<DiskFile> {
  await removeIfThere(disk, path)
  const file = await disk.open(path, 'create')
  try {
    await file.writev(buffers, 0)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}
