/**
 * Makes files cold, and proves that they were: GNU dd drops them from the kernel's cache (which needs no rights, but
 * leaves pages that are dirty or in use), and the kernel's own count of bytes fetched from storage says afterwards
 * whether a read had to go there.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'

/** Drops the files of a folder from the kernel's cache. @returns whether dd could */
export function dropFromCache(folder: string): boolean {
  return fs.readdirSync(folder).every(name => {
    const args = [`if=${join(folder, name)}`, 'iflag=nocache', 'count=0', 'status=none']
    return spawnSync('dd', args, { stdio: 'ignore' }).status === 0
  })
}

/** Makes the files of a folder durable: a dirty page cannot be dropped. */
export function syncFiles(folder: string): void {
  for (const name of fs.readdirSync(folder)) {
    const fd = fs.openSync(join(folder, name), 'r+')
    fs.fsyncSync(fd)
    fs.closeSync(fd)
  }
}

/** Bytes that this process had fetched from storage so far; null where the kernel does not say. */
export function bytesFromStorage(): number | null {
  try {
    const line = /^read_bytes: (\d+)$/m.exec(fs.readFileSync('/proc/self/io', 'utf8'))
    return line === null ? null : Number(line[1])
  } catch {
    return null
  }
}
