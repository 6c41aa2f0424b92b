/** The base record of a group: what its log starts from, and which replica it belongs to. Replaced whole. */
import { crc32 } from '@millrace/record'
import { type Disk, readWhole, replaceWhole } from './disk.ts'
import { type FormatFault, getU64, Magic, openStructure, sealStructure, setU64, startStructure } from './format.ts'
import type { BaseRecord } from './log-store.ts'

export const BASE_FILE_NAME = 'base'
const FIXED_BYTES = 128

export interface BaseFile {
  readonly group: number
  readonly replicaId: number
  readonly base: BaseRecord
}

export function encodeBaseFile(file: BaseFile): Uint8Array {
  const { base } = file
  const bytes = new Uint8Array(FIXED_BYTES + base.configuration.length)
  bytes.set(base.configuration, FIXED_BYTES)
  const fixed = bytes.subarray(0, FIXED_BYTES)
  const view = startStructure(fixed, Magic.base)
  view.setUint32(8, bytes.length, true)
  view.setUint32(12, base.configuration.length, true)
  setU64(view, 16, file.group)
  setU64(view, 24, file.replicaId)
  setU64(view, 32, base.index)
  setU64(view, 40, base.term)
  setU64(view, 48, base.timestamp)
  setU64(view, 56, base.nextOffset)
  setU64(view, 64, base.configurationIndex)
  view.setUint32(72, base.chain, true)
  view.setUint32(76, base.voidBelow, true)
  view.setUint32(120, crc32(base.configuration), true)
  sealStructure(fixed)
  return bytes
}

export function decodeBaseFile(bytes: Uint8Array): BaseFile | FormatFault {
  const view = openStructure(bytes.subarray(0, FIXED_BYTES), FIXED_BYTES, Magic.base)
  if (typeof view === 'string') return view
  if (view.getUint32(8, true) !== bytes.length) return 'short'
  const configuration = bytes.slice(FIXED_BYTES)
  if (view.getUint32(12, true) !== configuration.length) return 'value'
  if (view.getUint32(120, true) !== crc32(configuration)) return 'checksum'
  const base = {
    index: getU64(view, 32),
    term: getU64(view, 40),
    timestamp: getU64(view, 48),
    nextOffset: getU64(view, 56),
    configurationIndex: getU64(view, 64),
    chain: view.getUint32(72, true),
    voidBelow: view.getUint32(76, true),
    configuration,
  }
  return { group: getU64(view, 16), replicaId: getU64(view, 24), base }
}

/** The base record in a group's folder, null where there is none, or what is wrong with it. */
export async function readBaseFile(disk: Disk, folder: string): Promise<BaseFile | FormatFault | null> {
  const bytes = await readWhole(disk, `${folder}/${BASE_FILE_NAME}`)
  return bytes === null ? null : decodeBaseFile(bytes)
}

/** Durable when the promise resolves. */
export function writeBaseFile(disk: Disk, folder: string, file: BaseFile): Promise<void> {
  return replaceWhole(disk, folder, BASE_FILE_NAME, encodeBaseFile(file))
}
