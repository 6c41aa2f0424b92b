/**
 * Reading a log from front to back out of its files, against bare reads of the same bytes, from the disk and from the
 * kernel's cache (where only the work differs), and the end of a log out of memory.
 */
import * as fs from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { GroupLog } from '@millrace/log-store'
import { bytesFromStorage, dropFromCache, syncFiles } from './cold-files.ts'
import { inTurns, type Measure, printRow, ratio, secondsOf } from './figures.ts'
import { append, createLog, openStore, sealFrames } from './store-log.ts'

const MIB = 1_048_576
const TURNS = 15
/** What the store reads at once of a log that is read from front to back. */
const BARE_READ_BYTES = 524_288

export interface ReadPlan {
  readonly dir: string
  readonly divisor: number
}

/** What reads the whole log once. @returns the bytes it read */
type Reader = () => Promise<number>

/** Prints everything about reads. */
export async function benchReads({ dir, divisor }: ReadPlan): Promise<void> {
  printRow('sequential read from files, MB/s', ['log-store', 'fresh', '', 'one buffer', ''])
  for (const frameBytes of [4_096, 65_536, MIB]) {
    const folder = join(dir, `reads-${frameBytes}`)
    await mkdir(folder)
    await fill(folder, frameBytes, (256 * MIB) / divisor)
    const store = await openStore(folder, { tailCacheBytesMax: 0 })
    const [log] = store.groups() as [GroupLog]
    await compare(log, join(folder, 'groups/1'), `frames of ${frameBytes / 1_024} KiB`)
    await store.close()
    await rm(folder, { recursive: true })
  }
  await countCopies(join(dir, 'tail'))
}

/**
 * The log against two bare loops of reads of the same size over the same files: one with a fresh buffer for every read,
 * which is what whoever hands bytes out without a copy needs, and one that reads everything into the same buffer.
 */
async function compare(log: GroupLog, files: string, name: string): Promise<void> {
  const hot = new Uint8Array(BARE_READ_BYTES)
  const readers = {
    store: () => readLog(log),
    fresh: () => readBare(files, () => allocate(BARE_READ_BYTES)),
    hot: () => readBare(files, () => hot),
  }
  syncFiles(files)
  if (!dropFromCache(files)) printRow(`  ${name}, cold`, ['not run: dd cannot drop files from the cache here'])
  else {
    const fromStorage: number[] = []
    const figures = await inTurns(
      TURNS,
      eachOf(readers, reader => coldRate(files, reader, fromStorage)),
    )
    printRates(`  ${name}, cold`, figures)
    const least = Math.min(...fromStorage)
    const proof = Number.isNaN(least) ? 'unknown' : least.toFixed(2)
    printRow('    bytes from storage per byte, least', [proof])
  }
  printRates(`  ${name}, cached by the kernel`, await inTurns(TURNS, eachOf(readers, rate)))
}

function eachOf<K extends string>(
  readers: Record<K, Reader>,
  measure: (reader: Reader) => Measure,
): Record<K, Measure> {
  const measures = Object.entries<Reader>(readers).map(([key, reader]) => [key, measure(reader)])
  return Object.fromEntries(measures) as Record<K, Measure>
}

function rate(read: Reader): Measure {
  return async () => {
    let bytes = 0
    const seconds = await secondsOf(async () => {
      bytes = await read()
    })
    return bytes / 1e6 / seconds
  }
}

/** Notes for each turn how much of what was read came from storage: 1 where nothing was in the kernel's cache. */
function coldRate(files: string, read: Reader, fromStorage: number[]): Measure {
  return async () => {
    dropFromCache(files)
    const before = bytesFromStorage()
    let bytes = 0
    const figure = await rate(async () => {
      bytes = await read()
      return bytes
    })()
    fromStorage.push((bytesFromStorage() - before) / bytes)
    return figure
  }
}

function printRates(name: string, { store, fresh, hot }: Record<'store' | 'fresh' | 'hot', number>): void {
  printRow(name, [store.toFixed(0), fresh.toFixed(0), ratio(store, fresh), hot.toFixed(0), ratio(store, hot)])
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

/** Without zeroes first, like the store's own. */
function allocate(length: number): Uint8Array {
  const buffer = Buffer.allocUnsafeSlow(length)
  return new Uint8Array(buffer.buffer, buffer.byteOffset, length)
}

/** Every file from front to back, one read after the other. */
async function readBare(folder: string, newBuffer: () => Uint8Array): Promise<number> {
  let total = 0
  for (const name of fs.readdirSync(folder).filter(file => file.endsWith('.log'))) {
    const fd = fs.openSync(join(folder, name), 'r')
    let position = 0
    for (let count = -1; count !== 0; position += count) {
      const into = newBuffer()
      const at = position
      count = await new Promise<number>((resolve, reject) => {
        fs.read(fd, into, 0, into.length, at, (error, read) => (error === null ? resolve(read) : reject(error)))
      })
    }
    fs.closeSync(fd)
    total += position
  }
  return total
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
