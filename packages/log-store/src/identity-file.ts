/** Whose a data folder is: cluster, node, and the version of everything in it. Replaced whole, by recovery alone. */
import { type Disk, readWhole, replaceWhole } from './disk.ts'
import { FORMAT_VERSION, getU64, Magic, openStructure, sealStructure, setU64, startStructure } from './format.ts'
import { LogError } from './log-store.ts'

export const IDENTITY_FILE_NAME = 'identity'
const FILE_BYTES = 128
const CLUSTER_ID_BYTES_MAX = 64

export interface FolderIdentity {
  /** 1 to 64 bytes of UTF-8. */
  readonly clusterId: string
  /** A safe integer. */
  readonly nodeId: number
}

export function encodeIdentity(identity: FolderIdentity): Uint8Array {
  const name = new TextEncoder().encode(identity.clusterId)
  if (name.length === 0 || name.length > CLUSTER_ID_BYTES_MAX) {
    throw new RangeError(`a cluster id has 1 to ${CLUSTER_ID_BYTES_MAX} bytes, not ${name.length}`)
  }
  const bytes = new Uint8Array(FILE_BYTES)
  const view = startStructure(bytes, Magic.identity)
  view.setUint32(8, FORMAT_VERSION, true)
  view.setUint32(12, name.length, true)
  setU64(view, 16, identity.nodeId)
  bytes.set(name, 24)
  sealStructure(bytes)
  return bytes
}

/**
 * The identity in a folder, or null where there is no file.
 *
 * @throws LogError `IDENTITY` where it is damaged, `FORMAT_VERSION` where the folder is of another format
 */
export async function readIdentity(disk: Disk, folder: string): Promise<FolderIdentity | null> {
  const path = `${folder}/${IDENTITY_FILE_NAME}`
  const bytes = await readWhole(disk, path)
  if (bytes === null) return null
  const view = openStructure(bytes, FILE_BYTES, Magic.identity)
  if (view === 'version') throw newerFormat(path, bytes[4]!)
  if (typeof view === 'string' || bytes.length !== FILE_BYTES) {
    const fault = typeof view === 'string' ? view : 'length'
    throw new LogError(
      'IDENTITY',
      `${path} is damaged (${fault}). Nothing was changed. Restore this file from a copy of the folder`,
    )
  }
  const format = view.getUint32(8, true)
  if (format !== FORMAT_VERSION) throw newerFormat(path, format)
  const clusterId = new TextDecoder().decode(bytes.subarray(24, 24 + view.getUint32(12, true)))
  return { clusterId, nodeId: getU64(view, 16) }
}

/** Durable when the promise resolves. */
export function writeIdentity(disk: Disk, folder: string, identity: FolderIdentity): Promise<void> {
  return replaceWhole(disk, folder, IDENTITY_FILE_NAME, encodeIdentity(identity))
}

function newerFormat(path: string, format: number): LogError {
  return new LogError('FORMAT_VERSION', `${path} is of format ${format}; this version reads format ${FORMAT_VERSION}`)
}
