/**
 * Reading a log from front to back out of its files, against bare reads of the same bytes, from the disk and from the
 * kernel's cache (where only the work differs), and the end of a log out of memory.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { GroupLog } from '@millrace/log-store'
import { inTurns, printRow, ratio, secondsOf } from './figures.ts'
import { append, createLog, openStore, sealFrames } from './store-log.ts'

const MIB = 1_048_576
const TURNS = 5
const BARE_READ_BYTES = 262_144

export interface ReadPlan {
  readonly dir: string
  readonly divisor: number
}

/** Prints everything about reads. */
export async function benchReads({ dir, divisor }: ReadPlan): Promise<void> {
  printRow('sequential read from files, MB/s', ['log-store', 'fs.read', ''])
  for (const frameBytes of [4_096, 65_536]) {
    const folder = join(dir, `reads-${frameBytes}`)
    await mkdir(folder)
    await fill(folder, frameBytes, (256 * MIB) / divisor)
    const store = await openStore(folder, { tailCacheBytesMax: 0 })
    const [log] = store.groups() as [GroupLog]
    const group = join(folder, 'groups/1')
    for (const isCold of [true, false]) {
      const name = `  frames of ${frameBytes / 1_024} KiB, ${isCold ? 'cold' : 'cached by the kernel'}`
      if (isCold && !forget(group)) {
        printRow(name, ['not run: dd cannot drop files from the cache here'])
        continue
      }
      const rate = (read: () => Promise<number>) => async (): Promise<number> => {
        if (isCold) forget(group)
        let bytes = 0
        const seconds = await secondsOf(async () => {
          bytes = await read()
        })
        return bytes / 1e6 / seconds
      }
      const figures = await inTurns(TURNS, { store: rate(() => readLog(log)), bare: rate(() => readBare(group)) })
      printRow(name, [figures.store.toFixed(0), figures.bare.toFixed(0), ratio(figures.store, figures.bare)])
    }
    await store.close()
    await rm(folder, { recursive: true })
  }
  await countCopies(join(dir, 'tail'))
}

/** Drops the files of a folder from the kernel's cache, as far as GNU dd can. @returns whether it could */
function forget(folder: string): boolean {
  return fs.readdirSync(folder).every(name => {
    const args = [`if=${join(folder, name)}`, 'iflag=nocache', 'count=0', 'status=none']
    return spawnSync('dd', args, { stdio: 'ignore' }).status === 0
  })
}

async function fill(folder: string, frameBytes: number, total: number): Promise<void> {
  const store = await openStore(folder, { tailCacheBytesMax: 0 })
  const log = await createLog(store, 1)
  const payload = new Uint8Array(frameBytes - 104).fill(7)
  for (let written = 0; written < total; written += 4 * MIB)
    await append(log, sealFrames(log, (4 * MIB) / frameBytes, payload))
  await store.close()
}

async function readLog(log: GroupLog): Promise<number> {
  let bytes = 0
  for (let next = log.base.index + 1; next <= log.end.index; ) {
    const frames = await log.read(next, log.end.index + 1, MIB)
    for (const frame of frames) bytes += frame.bytes.length
    next += frames.length
  }
  return bytes
}

async function readBare(folder: string): Promise<number> {
  let bytes = 0
  const into = new Uint8Array(BARE_READ_BYTES)
  for (const name of fs.readdirSync(folder).filter(file => file.endsWith('.log'))) {
    const fd = fs.openSync(join(folder, name), 'r')
    for (let count = -1; count !== 0; bytes += count) {
      const position = bytes
      count = await new Promise<number>((resolve, reject) => {
        fs.read(fd, into, 0, into.length, position, (error, read) => (error === null ? resolve(read) : reject(error)))
      })
    }
    fs.closeSync(fd)
  }
  return bytes
}

/** How many of the bytes that are read at the end of a log are not the very bytes that were written. */
async function countCopies(folder: string): Promise<void> {
  await mkdir(folder)
  const store = await openStore(folder)
  const log = await createLog(store, 1)
  const frames = sealFrames(log, 1_000, new Uint8Array(4_096))
  await append(log, frames)
  const given = new Set(frames.map(frame => frame.bytes.buffer))
  const read = await log.read(log.base.index + 1, log.end.index + 1, 64 * MIB)
  const copied = read.filter(frame => !given.has(frame.bytes.buffer))
  const sum = (list: typeof read): number => list.reduce((total, frame) => total + frame.bytes.length, 0)
  printRow('read at the end, bytes copied per byte', [(sum(copied) / sum(read)).toFixed(2)])
  await store.close()
  await rm(folder, { recursive: true })
}
