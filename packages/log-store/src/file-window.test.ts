import { expect, test } from 'vitest'
import type { DiskFile } from './disk.ts'
import { FileWindow } from './file-window.ts'
import { FaultDisk, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const CHUNK_BYTES = 100_000

interface CountedFile {
  readonly file: DiskFile
  readonly content: Uint8Array
  bytesRead: number
}

async function makeFile(length: number): Promise<CountedFile> {
  const disk = new FaultDisk(seededRandom(1))
  const content = Uint8Array.from({ length }, (_, at) => (at * 31) ^ (at >> 8))
  disk.replace('file', content)
  const opened = await disk.open('file', 'read')
  const counted: CountedFile = {
    content,
    bytesRead: 0,
    file: {
      ...opened,
      read(into, position) {
        counted.bytesRead += into.length
        return opened.read(into, position)
      },
    },
  }
  return counted
}

/** Loads the whole file in steps of random lengths, and keeps every view. */
async function loadAll(window: FileWindow, { content }: CountedFile, seed: number): Promise<void> {
  const random = seededRandom(seed)
  const views: { readonly view: Uint8Array; readonly at: number }[] = []
  for (let at = 0; at < content.length; ) {
    const length = 1 + Math.floor(random() ** 3 * 3 * CHUNK_BYTES)
    const view = await window.load(at, length)
    expect(view.length).toBe(Math.min(length, content.length - at))
    views.push({ view, at })
    at += view.length
  }
  for (const { view, at } of views) expect(Buffer.compare(view, content.subarray(at, at + view.length))).toBe(0)
}

test.each([1, 2, 3, 4])('every byte is read once, and views stay valid; seed %i', async seed => {
  const counted = await makeFile(1_500_000)
  await loadAll(new FileWindow(counted.file, CHUNK_BYTES, 1_500_000), counted, seed)
  expect(counted.bytesRead).toBe(1_500_000)
})

test.each([1, 2, 3, 4])('with a stretch read ahead, one at a time; seed %i', async seed => {
  const counted = await makeFile(1_500_000)
  let running = 0
  let started = 0
  const window = new FileWindow(counted.file, CHUNK_BYTES, 1_500_000, async (into, position) => {
    expect(++running).toBe(1)
    started++
    const count = await counted.file.read(into, position)
    running--
    return count
  })
  await loadAll(window, counted, seed)
  expect(started).toBeGreaterThan(3)
  expect(counted.bytesRead).toBe(1_500_000)
})

test('a failed read ahead is read again, and a refused one costs nothing', async () => {
  const counted = await makeFile(1_500_000)
  let turn = 0
  const window = new FileWindow(counted.file, CHUNK_BYTES, 1_500_000, (into, position) => {
    turn++
    if (turn % 3 === 0) return null
    return turn % 3 === 1 ? Promise.reject(new Error('EIO')) : counted.file.read(into, position)
  })
  await loadAll(window, counted, 9)
})

test('a file that has grown goes on', async () => {
  const counted = await makeFile(300_000)
  const window = new FileWindow(counted.file, CHUNK_BYTES, 150_000)
  expect((await window.load(140_000, 50_000)).length).toBe(10_000)
  window.reopen(counted.file, 300_000)
  expect(Buffer.compare(await window.load(140_000, 50_000), counted.content.subarray(140_000, 190_000))).toBe(0)
})

test('a log that is read from front to back is read from the disk once, also while it grows', async () => {
  const disk = new FaultDisk(seededRandom(2))
  let bytesRead = 0
  const open = disk.open.bind(disk)
  disk.open = async (path, mode) => {
    const file = await open(path, mode)
    if (!path.endsWith('.log')) return file
    return {
      ...file,
      read(into, position) {
        bytesRead += into.length
        return file.read(into, position)
      },
    }
  }
  const store = await openOn(disk, { segmentBytesMax: 2_000_000, tailCacheBytesMax: 0 })
  const log = await store.create(3, { replicaId: 9, base: testBase() })
  const source = new TestLog(3, log.base)
  const frames: Uint8Array[] = []
  const append = async (): Promise<void> => {
    const made = source.append(3, { payload: new Uint8Array(20_000).fill(frames.length) })
    await written(log, { frames: made })
    frames.push(...made.map(frame => Uint8Array.from(frame.bytes)))
  }
  for (let round = 0; round < 60; round++) await append()
  bytesRead = 0
  const read: Uint8Array[] = []
  while (read.length < frames.length) {
    for (const frame of await log.read(read.length + 2, log.end.index + 1, 50_000))
      read.push(Uint8Array.from(frame.bytes))
    if (frames.length < 300) await append()
  }
  expect(read).toEqual(frames)
  expect(await readAll(log)).toEqual(frames)
  // Twice the log, by two readers; the little that is read twice is where segments and appended ends meet.
  expect(bytesRead).toBeLessThan(frames.length * 20_104 * 2 * 1.2)
})
