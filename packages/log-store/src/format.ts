/**
 * What every structure on disk shares: little-endian fields, a magic, a version, an algorithm byte and a CRC over the
 * whole. Layouts: docs/internals/log-format.md.
 */
import { CHECKSUM_CRC32, crc32 } from '@millrace/record'

export const SECTOR_BYTES = 512
/** "MLR1", "MLS1", … as little-endian integers. */
export const Magic = {
  round: 0x3152_4c4d,
  segment: 0x3153_4c4d,
  index: 0x3149_4c4d,
  base: 0x3142_4c4d,
  vote: 0x3156_4c4d,
  mark: 0x314d_4c4d,
  identity: 0x3144_4c4d,
  snapshot: 0x3154_4c4d,
  patch: 0x3150_4c4d,
} as const
export type Magic = (typeof Magic)[keyof typeof Magic]

export const FORMAT_VERSION = 1

/** Why bytes are not the structure that was expected. */
export type FormatFault = 'short' | 'magic' | 'checksum' | 'version' | 'value'

/** The next multiple of a sector. */
export function alignToSector(position: number): number {
  return Math.ceil(position / SECTOR_BYTES) * SECTOR_BYTES
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Writes a safe unsigned integer as u64. */
export function setU64(view: DataView, at: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a safe unsigned integer: ${value}`)
  view.setUint32(at, value % 0x1_0000_0000, true)
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
}

/** Reads a u64; NaN above 2^53 − 1, which no comparison accepts. */
export function getU64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true)
  return high > 0x1f_ffff ? Number.NaN : high * 0x1_0000_0000 + view.getUint32(at, true)
}

/** Opens a structure of `length` bytes whose last four are its CRC: writes magic, version, algorithm. */
export function startStructure(bytes: Uint8Array, magic: Magic): DataView {
  const view = viewOf(bytes)
  view.setUint32(0, magic, true)
  view.setUint8(4, FORMAT_VERSION)
  view.setUint8(5, CHECKSUM_CRC32)
  return view
}

/** Closes a structure: its last four bytes become the CRC of what is before them. */
export function sealStructure(bytes: Uint8Array): void {
  const at = bytes.length - 4
  viewOf(bytes).setUint32(at, crc32(bytes.subarray(0, at)), true)
}

/** Whether the last four bytes are the CRC of those before. */
export function isSealed(bytes: Uint8Array): boolean {
  const at = bytes.length - 4
  return crc32(bytes.subarray(0, at)) === viewOf(bytes).getUint32(at, true)
}

/** The view of a structure with the right magic, checksum and version, or what is wrong. */
export function openStructure(bytes: Uint8Array, length: number, magic: Magic): DataView | FormatFault {
  if (bytes.length < length) return 'short'
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== magic) return 'magic'
  if (!isSealed(bytes.subarray(0, length))) return 'checksum'
  if (view.getUint8(4) !== FORMAT_VERSION || view.getUint8(5) !== CHECKSUM_CRC32) return 'version'
  return view
}

/** Whether all bytes in [from, to) are zero. */
export function allZero(bytes: Uint8Array, from = 0, to: number = bytes.length): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false
  return true
}
