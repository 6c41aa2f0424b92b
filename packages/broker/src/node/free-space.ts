/** A look at the disk before anything is opened on it: files that are mapped into memory kill a process on a full one. */
import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { formatSize } from '../config/quantity.ts'
import { StartError } from '../start-error.ts'

/** What a node needs to open its stores, whatever else it may or may not do then. */
const START_FREE_BYTES_MIN: number = 4 * 1_048_576

/**
 * @param dataDir need not exist; the nearest folder above it counts then
 * @throws StartError DISK_FULL naming what is free and what is needed
 */
export async function checkFreeSpace(dataDir: string, freeBytesMin: number = START_FREE_BYTES_MIN): Promise<void> {
  let path = resolve(dataDir)
  while (!existsSync(path)) path = dirname(path)
  const { bavail, bsize } = await statfs(path)
  const free = bavail * bsize
  if (free >= freeBytesMin) return
  throw new StartError(
    'DISK_FULL',
    `data folder ${dataDir}: the disk is full, ${formatSize(free)} are free and a node needs ${formatSize(freeBytesMin)} to start`,
  )
}
