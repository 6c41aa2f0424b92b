/**
 * Makes files cold, and counts what is read. GNU dd drops files from the kernel's cache (which needs no rights, but leaves
 * pages that are dirty or in use); the kernel's own count of bytes fetched from storage proves afterwards that a read had
 * to go there.
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

/** Bytes that this process had fetched from storage so far; NaN where the kernel does not say. */
export function bytesFromStorage(): number {
  return count('read_bytes')
}

/** Bytes that this process has read so far, from wherever; NaN where the kernel does not say. */
export function bytesRead(): number {
  return count('rchar')
}

function count(name: string): number {
  try {
    const line = fs
      .readFileSync('/proc/self/io', 'utf8')
      .split('\n')
      .find(each => each.startsWith(`${name}: `))
    return line === undefined ? Number.NaN : Number(line.slice(name.length + 2))
  } catch {
    return Number.NaN
  }
}
