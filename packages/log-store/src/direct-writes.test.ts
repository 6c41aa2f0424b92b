/** Large writes past the page cache: every byte arrives at its place, with and without a system that can do it. */
import { constants, readdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import type { DiskFile } from './disk.ts'
import { nodeDisk } from './node-disk.ts'
import { seededRandom } from './testing/index.ts'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'

/** What the system makes of writes to descriptors with O_DIRECT, and of opening them; and how many it took. */
const system = vi.hoisted(() => ({
  taken: 0,
  /** Bytes that one write takes at most. */
  bytesMax: Number.POSITIVE_INFINITY,
  /** Writes after which all others fail so. */
  failsAfter: Number.POSITIVE_INFINITY,
  code: '',
  opens: true,
}))

vi.mock('node:fs', async importOriginal => {
  const real = await importOriginal<typeof import('node:fs')>()
  type Done = (error: Error | null, count: number) => void
  const write = ((fd: number, bytes: Uint8Array, from: number, length: number, position: number, done: Done): void => {
    if (system.taken >= system.failsAfter) {
      done(Object.assign(new Error(`write: ${system.code}`), { code: system.code }), 0)
      return
    }
    system.taken++
    real.write(fd, bytes, from, Math.min(length, system.bytesMax), position, done)
  }) as never
  const open = ((path: string, flags: number, ...rest: [number | Done, Done?]): void => {
    const done = rest.at(-1) as Done
    if (!system.opens && path.startsWith('/proc/self/fd/'))
      done(Object.assign(new Error('open: EINVAL'), { code: 'EINVAL' }), 0)
    else real.open(path, flags, ...(rest as [never, never]))
  }) as never
  return { ...real, write, open }
})

const KIB = 1024

beforeEach(() => {
  Object.assign(system, {
    taken: 0,
    bytesMax: Number.POSITIVE_INFINITY,
    failsAfter: Number.POSITIVE_INFINITY,
    code: '',
    opens: true,
  })
})

afterAll(removeTemporaryFolders)

async function openThrough(name = 'file'): Promise<{ readonly path: string; readonly file: DiskFile }> {
  const path = join(await temporaryFolder(), name)
  writeFileSync(path, '')
  return { path, file: await nodeDisk.open(path, 'writeThrough') }
}

let next = 0
/** Buffers of these lengths with bytes that differ from all others nearby, at odd addresses. */
function buffersOf(...lengths: readonly number[]): Uint8Array[] {
  return lengths.map(length => {
    const buffer = new Uint8Array(length + 3).subarray(3)
    for (let at = 0; at < length; at++) buffer[at] = next = (next * 31 + 7) % 251
    return buffer
  })
}

const onLinux = process.platform === 'linux'

test('a large write goes past the page cache, a small one does not', async context => {
  if (!onLinux) return context.skip('not run: such writes are of Linux')
  const { path, file } = await openThrough()
  const [large, small] = [buffersOf(100, 64 * KIB, 412), buffersOf(64 * KIB - 512)]
  await file.writev(large, 0)
  expect(system.taken).toBe(1)
  await file.writev(small, 65 * KIB)
  expect(system.taken).toBe(1)
  expect(readFileSync(path).equals(Buffer.concat([...large, Buffer.alloc(512), ...small]))).toBe(true)
  await file.close()
})

test('large and small writes in turns, over each other and beyond the end, are what was written last', async () => {
  const random = seededRandom(7)
  const { path, file } = await openThrough()
  const expected = Buffer.alloc(8 * KIB * KIB)
  let end = 0
  for (let round = 0; round < 120; round++) {
    const position = 512 * Math.floor(random() * Math.min(6_000, 1 + end / 512))
    const lengths = Array.from({ length: 1 + Math.floor(random() * 5) }, () => Math.floor(random() ** 4 * 900 * KIB))
    const sum = lengths.reduce((all, length) => all + length, 0)
    const buffers = buffersOf(...lengths, round % 2 === 0 ? (512 - (sum % 512)) % 512 : 0)
    const bytes = Buffer.concat(buffers)
    await file.writev(buffers, position)
    bytes.copy(expected, position)
    end = Math.max(end, position + bytes.length)
    // Some pages of it are in the page cache now, and have to go when they are written past.
    const back = Buffer.alloc(bytes.length)
    expect(await file.read(back, position)).toBe(bytes.length)
    expect(back.equals(bytes)).toBe(true)
  }
  expect(readFileSync(path).equals(expected.subarray(0, end))).toBe(true)
  if (onLinux) expect(system.taken).toBeGreaterThan(50)
  await file.close()
})

test('writes to many files at a time do not mix', async () => {
  const files = await Promise.all(Array.from({ length: 6 }, (_, at) => openThrough(`file-${at}`)))
  const contents = files.map(() => buffersOf(1_500 * KIB, 700, 100 * KIB))
  await Promise.all(files.map(({ file }, at) => file.writev(contents[at]!, 0)))
  for (const [at, { path, file }] of files.entries()) {
    expect(readFileSync(path).equals(Buffer.concat(contents[at]!))).toBe(true)
    await file.close()
  }
})

test.each([
  ['the system opens no file so', { opens: false }],
  ['the file system knows no such writes', { failsAfter: 0, code: 'EINVAL' }],
  ['they stop to work in the middle', { failsAfter: 1, code: 'EINVAL' }],
  ['a write takes less than it was given, and ends between sectors', { bytesMax: 100_000 }],
])('where %s, the rest goes through the page cache', async (_, behaviour) => {
  Object.assign(system, behaviour)
  const { path, file } = await openThrough()
  const [first, second] = [buffersOf(700 * KIB, 1_400 * KIB, 1), buffersOf(100 * KIB)]
  await file.writev(first, 0)
  await file.writev(second, 3_000 * KIB)
  const content = readFileSync(path)
  expect(content.subarray(0, 2_100 * KIB + 1).equals(Buffer.concat(first))).toBe(true)
  expect(content.subarray(3_000 * KIB).equals(second[0]!)).toBe(true)
  await file.close()
})

test('an error of the disk is an error of the write', async context => {
  if (!onLinux) return context.skip('not run: such writes are of Linux')
  Object.assign(system, { failsAfter: 1, code: 'EIO' })
  const { file } = await openThrough()
  await expect(file.writev(buffersOf(3_000 * KIB), 0)).rejects.toThrow('EIO')
  Object.assign(system, { failsAfter: Number.POSITIVE_INFINITY, taken: 0 })
  // The memory that it was written from is there for the next.
  await file.writev(buffersOf(200 * KIB), 0)
  expect(system.taken).toBe(1)
  await file.close()
})

test('a file that was given another name is the one that is written, and nothing of it stays open', async context => {
  if (!onLinux) return context.skip('not run: such writes are of Linux')
  const { path, file } = await openThrough()
  renameSync(path, `${path}-moved`)
  writeFileSync(path, 'another')
  const buffers = buffersOf(128 * KIB)
  await file.writev(buffers, 0)
  expect(system.taken).toBe(1)
  expect(readFileSync(path, 'utf8')).toBe('another')
  expect(readFileSync(`${path}-moved`).equals(buffers[0]!)).toBe(true)
  await file.close()
  expect(openPaths().filter(open => open.startsWith(path))).toEqual([])
})

test('every descriptor that is written to makes durable what it writes', async context => {
  if (!onLinux) return context.skip('not run: /proc is of Linux')
  const { path, file } = await openThrough()
  await file.writev(buffersOf(128 * KIB), 0)
  expect(system.taken).toBe(1)
  const flags = readdirSync('/proc/self/fd')
    .filter(fd => targetOf(fd) === path)
    .map(fd => Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!, 8))
  expect(flags).toHaveLength(2)
  for (const each of flags) expect(each & constants.O_DSYNC).toBe(constants.O_DSYNC)
  expect(flags.filter(each => (each & constants.O_DIRECT) !== 0)).toHaveLength(1)
  await file.close()
})

function openPaths(): string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => targetOf(fd) ?? [])
}

function targetOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    // The descriptor that listed the folder is closed by now.
    return undefined
  }
}
