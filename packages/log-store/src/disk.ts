/**
 * The few things the log asks of a file system. All files of this package go through a `Disk`, so that a simulated one
 * can run the same code and lose, tear or garble whatever the assumptions in docs/internals/log-format.md allow.
 *
 * Errors are those of Node: an `Error` with a `code` such as `ENOSPC`, `EIO`, `ENOENT`.
 */

/**
 * How a file is opened. `create` fails where the file exists. `writeThrough`: as `write`, but `writev` resolves when its
 * bytes are durable, with the size needed to read them.
 */
export type DiskOpenMode = 'read' | 'write' | 'create' | 'writeThrough'

export interface DiskFile {
  /** Fills `into` from `position`; fewer bytes only at the end of the file. The caller owns `into`. */
  read(into: Uint8Array, position: number): Promise<number>
  /**
   * Writes all of `buffers` at `position`, or fails; a failed write may have written any part, and of a file opened
   * `writeThrough` made any part durable. Keeps no reference.
   */
  writev(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** Makes the content durable, with the size needed to read it. */
  datasync(): Promise<void>
  size(): Promise<number>
  /** How many names lead to the file. */
  names(): Promise<number>
  close(): Promise<void>
}

export interface Disk {
  open(path: string, mode: DiskOpenMode): Promise<DiskFile>
  /** Names in a folder, in no order. */
  list(path: string): Promise<readonly string[]>
  /** Makes a folder of mode 0700; quiet where it exists. */
  makeFolder(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  removeFile(path: string): Promise<void>
  /** Removes an empty folder. */
  removeFolder(path: string): Promise<void>
  /** Makes the names in a folder durable. */
  syncFolder(path: string): Promise<void>
  /** Bytes that this process may still write. */
  freeBytes(path: string): Promise<number>
}

/** The `code` of a failed call (`ENOENT`, …), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** Opens a file, or null where there is none. */
export async function openIfThere(disk: Disk, path: string, mode: 'read' | 'write'): Promise<DiskFile | null> {
  try {
    return await disk.open(path, mode)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}

/** The whole content of a small file, or null where there is none. */
export async function readWhole(disk: Disk, path: string): Promise<Uint8Array | null> {
  const file = await openIfThere(disk, path, 'read')
  if (file === null) return null
  try {
    const bytes = new Uint8Array(await file.size())
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}

/**
 * Replaces a small file so that a crash leaves the old one or the new one: aside, fdatasync, rename, fsync of the folder.
 * Durable when the promise resolves.
 */
export async function replaceWhole(disk: Disk, folder: string, name: string, bytes: Uint8Array): Promise<void> {
  const aside = `${folder}/${name}.new`
  await removeIfThere(disk, aside)
  const file = await disk.open(aside, 'create')
  try {
    await file.writev([bytes], 0)
    await file.datasync()
  } finally {
    await file.close()
  }
  await disk.rename(aside, `${folder}/${name}`)
  await disk.syncFolder(folder)
}

/** Removes a file; quiet where there is none. */
export async function removeIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.removeFile(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}
