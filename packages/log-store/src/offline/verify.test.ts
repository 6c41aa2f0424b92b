/** Verification on real files: whole folders are whole, and damage of every kind is listed with its file and place. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Frame } from '@millrace/record'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDataFolder } from '../data-folder.ts'
import { removeTemporaryFolders, temporaryFolder } from '../testing/temporary-folder.ts'
import { type DumpedFrame, type DumpItem, dumpLog } from './dump.ts'
import {
  dumpedItems,
  makeRecycledFolder,
  makeSmallFolder,
  openSmallStore,
  SMALL_FOLDER,
} from './testing/small-folder.ts'
import { type VerifyReport, verifyDataFolder } from './verify.ts'

const { busyGroup, quietGroup } = SMALL_FOLDER
const BUSY = `log/groups/${busyGroup}`
const QUIET_SEGMENT = `log/groups/${quietGroup}/0000000000000001-00000001.log`

let whole = ''
let items: DumpItem[] = []

beforeAll(async () => {
  whole = join(await temporaryFolder(), 'data')
  await makeSmallFolder(whole)
  items = await dumpedItems(whole)
})
afterAll(removeTemporaryFolders)

async function copy(): Promise<string> {
  const path = join(await temporaryFolder(), 'data')
  await cp(whole, path, { recursive: true })
  return path
}

/** Flips a bit of one byte, in place. */
async function flip(folder: string, file: string, position: number): Promise<void> {
  const handle = await open(join(folder, file), 'r+')
  const byte = new Uint8Array(1)
  await handle.read(byte, 0, 1, position)
  byte[0]! ^= 1 << (position % 8)
  await handle.write(byte, 0, 1, position)
  await handle.close()
}

async function filesOf(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true })
  return all
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

function framesOf(file: string): DumpedFrame[] {
  return items.filter(item => item.type === 'frame').filter(frame => frame.file === file)
}

/** Live segment files of the busy group, rising. */
function busySegments(): string[] {
  return items.filter(item => item.type === 'segment' && item.file.startsWith(BUSY)).map(item => item.file)
}

async function damageOf(folder: string): Promise<VerifyReport['damage']> {
  return (await verifyDataFolder(folder)).damage
}

test('a folder is whole after a stop in order, and not a byte of it changes', async () => {
  const before = await Promise.all((await filesOf(whole)).map(async file => [file, await readFile(join(whole, file))]))
  const progress: number[] = []
  const report = await verifyDataFolder(`${whole}/`, { onProgress: (read, total) => progress.push(read / total) })
  expect(report).toMatchObject({ identity: SMALL_FOLDER.identity, cleanStop: true, damage: [] })
  expect(report.counts).toMatchObject({ groups: 3, voteSlots: 3, segments: busySegments().length + 1 })
  expect(busySegments().length).toBeGreaterThan(4)
  const last = framesOf(busySegments().at(-1)!).at(-1)
  expect(last?.header.index).toBe(1 + 1 + 4 * 2 + 2 + 11 * 2)
  expect(progress.at(-1)).toBe(1)
  const after = await Promise.all((await filesOf(whole)).map(async file => [file, await readFile(join(whole, file))]))
  expect(after).toEqual(before)
})

test('files that it cannot judge are named', async () => {
  const folder = await copy()
  await mkdir(join(folder, 'state'))
  await writeFile(join(folder, 'log/trash/1-7-base'), '')
  await writeFile(join(folder, BUSY, 'notes.txt'), '')
  await writeFile(join(folder, BUSY, 'base.new'), '')
  const report = await verifyDataFolder(folder)
  expect(report.damage).toEqual([])
  expect(report.notChecked.map(({ file }) => file)).toEqual([`${BUSY}/notes.txt`, 'state', 'log/trash'])
  expect(report.notes.map(({ file }) => file)).toContain(`${BUSY}/base.new`)
})

test('a segment that lies over an older file is whole, and damage in what counts of it is found', async () => {
  const folder = join(await temporaryFolder(), 'recycled')
  await makeRecycledFolder(folder)
  const all = await dumpedItems(folder)
  const newest = all.findLast(item => item.type === 'segment')?.file ?? ''
  const size = (await stat(join(folder, newest))).size
  const rounds = all.filter(item => item.type === 'round' && item.file === newest)
  expect(rounds).toHaveLength(2)
  const stale = (await readFile(join(folder, newest))).subarray(size - 20_000)
  expect(stale.some(byte => byte !== 0)).toBe(true)
  const report = await verifyDataFolder(folder)
  expect(report).toMatchObject({ damage: [], counts: { rounds: 17 } })
  expect(report.notes.filter(({ file }) => file === newest)).toEqual([])
  await flip(folder, newest, size - 12_000)
  expect(await damageOf(folder)).toEqual([])
  await flip(folder, newest, 600)
  expect(await damageOf(folder)).toMatchObject([{ file: newest }])
})

test('a folder in use is refused by process id, and locked while it is verified', async () => {
  const folder = await copy()
  const owner = await openDataFolder(folder)
  await expect(verifyDataFolder(folder)).rejects.toMatchObject({ code: 'FOLDER_IN_USE' })
  await expect(verifyDataFolder(folder)).rejects.toThrow(`in use by process ${process.pid}`)
  await owner.close()
  const dump = dumpLog(folder)
  await dump.next()
  await expect(openDataFolder(folder)).rejects.toMatchObject({ code: 'FOLDER_IN_USE' })
  await dump.return()
  await (await openDataFolder(folder)).close()
})

test('a folder is whole after its process was killed', async () => {
  const folder = await copy()
  const url = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href)
  const program = `
    const { openSmallStore, appendRounds } = await import(${url('./testing/small-folder.ts')})
    const { TestLog } = await import(${url('../testing/test-log.ts')})
    const store = await openSmallStore(${JSON.stringify(join(folder, 'log'))})
    const sources = store.groups().map(log => [log, new TestLog(log.group, log.end)])
    for (;;) {
      await Promise.all(sources.map(([log, source]) => appendRounds(log, source, 1)))
      console.log('appended')
    }`
  for (let run = 0; run < 3; run++) {
    const child = spawn(process.execPath, ['--conditions=millrace-source', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    for (let appended = 0; appended < 20 + run; appended++) await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const report = await verifyDataFolder(folder)
    expect(report).toMatchObject({ cleanStop: false, damage: [] })
    expect(report.counts.frames).toBeGreaterThan(30)
  }
})

test('what is no data folder is refused', async () => {
  await expect(verifyDataFolder(await temporaryFolder())).rejects.toThrow('is not the data folder of a node')
  await expect(verifyDataFolder('/no/such/folder')).rejects.toMatchObject({ code: 'IDENTITY' })
})

test('a flipped bit in any place is listed under its file', { timeout: 120_000 }, async () => {
  const folder = await copy()
  const exempt = new Set(['owner'])
  let flips = 0
  for (const file of await filesOf(folder)) {
    if (exempt.has(file) || file.startsWith('log/trash/')) continue
    const { size } = await stat(join(folder, file))
    for (let position = 0; position < size; position += size > 4_000 ? 173 : 31) {
      await flip(folder, file, position)
      const { damage, notes } = await verifyDataFolder(folder)
      const found = damage.find(item => item.file === file)
      const isHarmless = notes.some(note => note.file === file && /^byte \d+/.test(note.what))
      expect(found !== undefined || isHarmless, `${file}, byte ${position}`).toBe(true)
      expect(found?.position ?? 0, `${file}, byte ${position}`).toBeLessThanOrEqual(position)
      await flip(folder, file, position)
      flips++
    }
  }
  expect(flips).toBeGreaterThan(300)
  expect(await damageOf(folder)).toEqual([])
})

test('the frame that is damaged is the one that is named, and every one of them', async () => {
  const folder = await copy()
  const file = busySegments()[2]!
  const frames = framesOf(file)
  const large = frames.find(({ bytes }) => bytes > 500)!
  await flip(folder, file, large.position + 300)
  await flip(folder, file, frames.at(-1)!.position + 40)
  expect(await damageOf(folder)).toEqual([
    { file, position: large.position, what: expect.stringContaining('frame: payload-checksum') },
    { file, position: frames.at(-1)!.position, what: expect.stringContaining('frame: header-checksum') },
  ])
})

test('a damaged round record, segment header and configuration', async () => {
  const folder = await copy()
  const [first, second] = busySegments().slice(-2)
  const round = items.findLast(item => item.type === 'round' && item.file === first)
  await flip(folder, first!, round?.type === 'round' ? round.record.position + 60 : 0)
  await flip(folder, second!, 33)
  const damage = await damageOf(folder)
  expect(damage).toContainEqual({
    file: first,
    position: round?.type === 'round' ? round.record.position : 0,
    what: expect.stringContaining('round record: checksum'),
  })
  expect(damage).toContainEqual({
    file: second,
    position: 0,
    what: expect.stringContaining('segment header: checksum'),
  })
})

test.each([
  ['identity', 30, 0, 'is damaged'],
  ['log/votes', 128 + 33, 128, 'slot 1, copy A: checksum; the other is whole'],
  ['log/votes', 4_096 + 256 + 9, 4_096 + 256, 'slot 2, copy B: checksum; the other is whole'],
  ['log/votes', 3 * 128 + 9, 3 * 128, 'slot 3, copy A: magic'],
  ['log/mark-b', 20, 0, 'header of the mark: checksum'],
  ['log/mark-a', 70, 64, 'entries of the mark: checksum'],
  [`${BUSY}/base`, 33, 0, 'base record: checksum'],
  [`${BUSY}/base`, 129, 0, 'base record: checksum'],
  [QUIET_SEGMENT, 20, 0, 'segment header: checksum'],
  [QUIET_SEGMENT, 400, 128, 'configurations of the segment header: value'],
])('a flipped bit: %s, byte %i', async (file, flipped, position, what) => {
  const folder = await copy()
  await flip(folder, file, flipped)
  expect(await damageOf(folder)).toContainEqual({ file, position, what: expect.stringContaining(what) })
})

test('a wrong index file, entry by entry', async () => {
  const folder = await copy()
  const file = QUIET_SEGMENT.replace('.log', '.index')
  await flip(folder, file, 20)
  expect(await damageOf(folder)).toEqual([
    { file, position: 0, what: expect.stringContaining('not the index of this') },
  ])
  await flip(folder, file, 20)
  await flip(folder, file, 64 + 33)
  expect(await damageOf(folder)).toEqual([{ file, position: 64, what: expect.stringContaining('index entry') }])
  await rm(join(folder, file))
  const report = await verifyDataFolder(folder)
  expect(report.damage).toEqual([])
  expect(report.notes).toContainEqual({ file, what: expect.stringContaining('no index file') })
})

test('files that are missing, cut, or old copies of themselves', async () => {
  const segments = busySegments()
  const gone = await copy()
  await rm(join(gone, segments[2]!))
  expect(await damageOf(gone)).toContainEqual({
    file: segments[3],
    position: 72,
    what: expect.stringMatching(/the segment before it, with entry \d+, is missing/),
  })
  const cut = await copy()
  const end = framesOf(segments[2]!).at(-1)!.position
  await truncate(join(cut, segments[2]!), end)
  expect(await damageOf(cut)).toContainEqual({
    file: segments[2],
    position: expect.any(Number),
    what: expect.stringMatching(/entries \d+ to \d+ are missing/),
  })
  const short = await copy()
  const last = segments.at(-1)!
  await truncate(join(short, last), 512 + 512)
  expect((await damageOf(short)).map(({ file }) => file)).toContain(last)
  const lost = await copy()
  await rm(join(lost, `log/groups/${quietGroup}`), { recursive: true })
  expect(await damageOf(lost)).toEqual([
    { file: `log/groups/${quietGroup}/base`, position: 0, what: 'the log of replica 12 of group 8 is gone' },
  ])
})

test('the last round of a log below the mark is damage, above it never acknowledged', async () => {
  const folder = await copy()
  const last = framesOf(QUIET_SEGMENT).at(-1)!
  await flip(folder, QUIET_SEGMENT, last.position + 200)
  expect(await damageOf(folder)).toEqual([
    {
      file: QUIET_SEGMENT,
      position: last.position,
      what: expect.stringContaining('but entry 7, generation 1, is known to have been durable'),
    },
  ])
  const handle = await open(join(whole, QUIET_SEGMENT), 'r')
  const { size } = await handle.stat()
  await handle.close()
  const torn = await copy()
  await writeFile(join(torn, QUIET_SEGMENT), new Uint8Array(700).fill(9), { flag: 'a' })
  const report = await verifyDataFolder(torn)
  expect(report.damage).toEqual([])
  expect(report.notes).toContainEqual({
    file: QUIET_SEGMENT,
    what: expect.stringContaining(`byte ${size}: round record: magic; an incomplete last round`),
  })
})

test('both copies of a vote', async () => {
  const folder = await copy()
  await flip(folder, 'log/votes', 40)
  await flip(folder, 'log/votes', 4_096 + 40)
  expect((await damageOf(folder)).map(({ file, position, what }) => [file, position, what])).toEqual([
    ['log/votes', 0, 'slot 0, copy A: checksum; the other copy says nothing: the vote is lost'],
    ['log/votes', 4_096, 'slot 0, copy B: checksum; the other copy says nothing: the vote is lost'],
    ['log/votes', 0, "the slot of group 7 is lost, and with it the replica's vote"],
  ])
})

test('a folder that was damaged, opened and closed is still listed as damaged', async () => {
  const folder = await copy()
  await flip(folder, busySegments().at(-2)!, 700)
  const before = await damageOf(folder)
  await (await openSmallStore(join(folder, 'log'))).close()
  expect(await damageOf(folder)).toEqual(before)
})

test('damage that a patch covers is repaired, not damage; without the patch it is', async () => {
  const folder = await copy()
  // A frame in the middle of a sealed segment, and all of another from its header on.
  const [first, second] = busySegments().slice(1, 3)
  const victim = framesOf(first!)[1]!
  const store = await openSmallStore(join(folder, 'log'))
  const log = store.groups().find(({ group }) => group === busyGroup)!
  const frames: Frame[] = []
  for (let next = log.base.index + 1; next <= log.end.index; next = frames.at(-1)!.header.index + 1)
    frames.push(...(await log.read(next, log.end.index + 1, 1_000_000)))
  await store.close()
  await flip(folder, first!, victim.position + 110)
  await flip(folder, second!, 40)
  const limit = framesOf(first!).at(-1)!.header.index
  expect(await damageOf(folder)).toMatchObject([
    {
      file: first,
      position: victim.position,
      what: expect.stringMatching(/payload-checksum; entries \d+ to \d+ are missing/),
    },
    { file: second, position: 0, what: expect.stringContaining('segment header: checksum') },
  ])
  const damaged = await openSmallStore(join(folder, 'log'))
  const again = damaged.groups().find(({ group }) => group === busyGroup)!
  for (const { header } of frames) await again.read(header.index, header.index + 1, 1).catch(() => undefined)
  expect(again.holes.map(({ before }) => before.index + 1)).toEqual([victim.header.index, limit + 1])
  for (const { before, last } of again.holes) {
    const from = frames[0]!.header.index
    expect(await again.patch(frames.slice(before.index + 1 - from, last.index + 1 - from))).toBe(true)
  }
  await damaged.close()
  const report = await verifyDataFolder(folder)
  expect(report.damage).toEqual([])
  expect(report.counts.patches).toBe(2)
  expect(report.repaired).toMatchObject([
    { file: first, position: victim.position, what: expect.stringMatching(/entries \d+ to \d+ are in patches/) },
    { file: second, position: 0, what: expect.stringMatching(/segment header: checksum; entries \d+ to \d+ are in/) },
  ])
  const dumped = await dumpedItems(folder, { group: busyGroup })
  expect(dumped.filter(({ type }) => type === 'damage' || type === 'incomplete')).toEqual([])
  expect(dumped.filter(({ type }) => type === 'repaired')).toMatchObject([{ file: first }, { file: second }])
  const patches = (await filesOf(folder)).filter(file => file.endsWith('.patch'))
  const inPatches = dumped.filter(item => item.type === 'frame' && patches.includes(item.file))
  expect(inPatches.length).toBeGreaterThan(2)
  await flip(folder, patches[0]!, 600)
  expect(await damageOf(folder)).toMatchObject([
    { file: patches[0], what: expect.stringContaining('what it repaired is damage again') },
    { file: first, position: victim.position },
  ])
  await rm(join(folder, patches[0]!))
  expect(await damageOf(folder)).toMatchObject([{ file: first, position: victim.position }])
})
