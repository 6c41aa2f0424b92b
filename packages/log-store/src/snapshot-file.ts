/** The bytes of a snapshot file: header, configuration, content. Layout: docs/internals/log-format.md, "Snapshot". */
import { crc32 } from '@millrace/record'
import type { DiskFile } from './disk.ts'
import { type FormatFault, getU64, Magic, openStructure, sealStructure, setU64, startStructure } from './format.ts'
import type { SnapshotHead, SnapshotInfo } from './snapshot-store.ts'

/** In a node's data folder: a folder per group. */
export const SNAPSHOTS_FOLDER = 'snapshots'

const HEADER_BYTES = 128
const CONFIGURATION_BYTES_MAX = 1_048_576
const CHUNK_BYTES = 262_144
const NAME = /^[0-9a-f]{16}-[0-9a-f]{16}\.snapshot$/

export function snapshotFileName({ index, term }: SnapshotHead): string {
  return `${hex(index)}-${hex(term)}.snapshot`
}

export function isSnapshotFileName(name: string): boolean {
  return NAME.test(name)
}

function hex(value: number): string {
  return value.toString(16).padStart(16, '0')
}

/** Where the content starts. */
export function contentStart(head: SnapshotHead): number {
  return HEADER_BYTES + head.configuration.length
}

/** What stands before the content. */
export function encodeSnapshotHeader(group: number, info: SnapshotInfo): Uint8Array {
  const { configuration } = info
  const bytes = new Uint8Array(contentStart(info))
  bytes.set(configuration, HEADER_BYTES)
  const fixed = bytes.subarray(0, HEADER_BYTES)
  const view = startStructure(fixed, Magic.snapshot)
  view.setUint32(8, configuration.length, true)
  view.setUint32(12, crc32(configuration), true)
  setU64(view, 16, group)
  setU64(view, 24, info.index)
  setU64(view, 32, info.term)
  setU64(view, 40, info.timestamp)
  setU64(view, 48, info.nextOffset)
  setU64(view, 56, info.configurationIndex)
  setU64(view, 64, info.contentBytes)
  view.setUint32(72, info.chain, true)
  view.setUint32(76, info.contentChecksum, true)
  sealStructure(fixed)
  return bytes
}

/** Reads what stands before the content; the content itself is not verified by this. */
export async function readSnapshotHeader(file: DiskFile, group: number): Promise<SnapshotInfo | FormatFault> {
  const fixed = new Uint8Array(HEADER_BYTES)
  const view = openStructure(fixed.subarray(0, await file.read(fixed, 0)), HEADER_BYTES, Magic.snapshot)
  if (typeof view === 'string') return view
  const configurationBytes = view.getUint32(8, true)
  if (getU64(view, 16) !== group || configurationBytes > CONFIGURATION_BYTES_MAX) return 'value'
  const configuration = new Uint8Array(configurationBytes)
  if ((await file.read(configuration, HEADER_BYTES)) < configurationBytes) return 'short'
  if (crc32(configuration) !== view.getUint32(12, true)) return 'checksum'
  const info = {
    index: getU64(view, 24),
    term: getU64(view, 32),
    timestamp: getU64(view, 40),
    nextOffset: getU64(view, 48),
    configurationIndex: getU64(view, 56),
    contentBytes: getU64(view, 64),
    chain: view.getUint32(72, true),
    contentChecksum: view.getUint32(76, true),
    configuration,
  }
  return (await file.size()) === contentStart(info) + info.contentBytes ? info : 'short'
}

/** Whether the content is what the checksum says; reads all of it. */
export async function isContentWhole(file: DiskFile, info: SnapshotInfo): Promise<boolean> {
  const start = contentStart(info)
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, info.contentBytes))
  let checksum = 0
  for (let at = 0; at < info.contentBytes; ) {
    const wanted = chunk.subarray(0, Math.min(chunk.length, info.contentBytes - at))
    const count = await file.read(wanted, start + at)
    if (count < wanted.length) return false
    checksum = crc32(wanted, checksum)
    at += count
  }
  return checksum === info.contentChecksum
}
