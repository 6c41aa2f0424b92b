/** Whole folders are whole, also after kills; a flipped bit is named, or the library finds and does the same as before. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { META_BYTES, PAGE_HEADER_BYTES } from '../lmdb-layout.ts'
import { makeStateFolder, STATE_GROUPS } from './testing/state-folder.ts'
import type { UseTask } from './testing/use-process.ts'
import { type LogExtent, type StateReport, verifyState } from './verify-state.ts'

const PAGE_BYTES = 4_096
const LOGS = STATE_GROUPS.map(group => ({ group, baseIndex: 1, lastIndex: 50 }))

let root = ''
let whole: Buffer
let user: ChildProcess
let copies = 0

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'millrace-verify-state-'))
  await makeStateFolder(join(root, 'state'))
  whole = readFileSync(join(root, 'state/data.mdb'))
  user = start(['use'])
})
afterAll(() => {
  user.kill('SIGKILL')
  rmSync(root, { recursive: true })
})

function start(task: UseTask): ChildProcess {
  const main = join(import.meta.dirname, 'testing/use-process.ts')
  return fork(main, [...task], { execArgv: ['--conditions=millrace-source'], silent: true })
}

/** A data folder with this file of checkpoints in it. */
function folderWith(content: Buffer): string {
  const folder = join(root, `copy-${copies++}`)
  mkdirSync(join(folder, 'state'), { recursive: true })
  writeFileSync(join(folder, 'state/data.mdb'), content)
  return folder
}

function verified(content: Buffer, logs: readonly LogExtent[] = LOGS): StateReport {
  const folder = folderWith(content)
  try {
    return verifyState(folder, logs)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What the library finds in this file, and makes of it; its process may end of it. */
async function used(content: Buffer): Promise<string> {
  const folder = folderWith(content)
  const over = new AbortController()
  const { signal } = over
  const ending = once(user, 'exit', { signal }).then(([code, by]) => `ended: ${String(code ?? by)}`)
  const answer = once(user, 'message', { signal }).then(([text]) => String(text))
  user.send(join(folder, 'state'))
  const outcome = await Promise.race([answer, ending])
  over.abort()
  await Promise.allSettled([answer, ending])
  if (outcome.startsWith('ended')) user = start(['use'])
  rmSync(folder, { recursive: true })
  return outcome
}

function flipped(position: number, bit: number): Buffer {
  const bytes = Buffer.from(whole)
  bytes[position]! ^= 1 << bit
  return bytes
}

/** Flips one bit at each position. */
async function flipAt(positions: Iterable<number>): Promise<{ named: number; harmless: number }> {
  const expected = await used(whole)
  expect(expected.startsWith('[[')).toBe(true)
  let named = 0
  let harmless = 0
  for (const position of positions) {
    const content = flipped(position, position % 8)
    if (verified(content).damage.length > 0) {
      named++
      continue
    }
    expect((await used(content)) === expected, `byte ${position}, bit ${position % 8}`).toBe(true)
    harmless++
  }
  return { named, harmless }
}

function* range(from: number, to: number, step: number): Iterable<number> {
  for (let position = from; position < to; position += step) yield position
}

test('what was closed in order is whole, and not a byte of it changes', () => {
  const folder = folderWith(whole)
  const report = verifyState(folder, LOGS)
  expect(report).toMatchObject({ damage: [], notes: [], notChecked: [] })
  expect(report.counts.checkpoints).toBe(STATE_GROUPS.length)
  expect(report.counts.values).toBeGreaterThan(200)
  expect(readFileSync(join(folder, 'state/data.mdb')).equals(whole)).toBe(true)
})

test('what a killed process left is whole', { timeout: 120_000 }, async () => {
  const folder = folderWith(whole)
  for (let run = 0; run < 4; run++) {
    const child = start(['write', join(folder, 'state'), String(20 + run * 100)])
    for (let rounds = 0; rounds < 4 + run; rounds++) await once(child, 'message')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(verifyState(folder, []).damage).toEqual([])
  }
})

test.each([0, 1])('a flipped bit in meta page %i is named or harmless', { timeout: 180_000 }, async at => {
  const start = at * PAGE_BYTES
  const { named, harmless } = await flipAt(range(start, start + META_BYTES, 1))
  expect(named).toBeGreaterThan(50)
  expect(named + harmless).toBe(META_BYTES)
})

test('a flipped bit in any other page is named or harmless', { timeout: 240_000 }, async () => {
  const { named, harmless } = await flipAt(range(2 * PAGE_BYTES, whole.length, 1201))
  expect(named).toBeGreaterThan(20)
  expect(harmless).toBeGreaterThan(0)
})

test('a flipped bit in any value is named with its group and entry', () => {
  const places: number[] = []
  for (let at = whole.indexOf('key-'); at >= 0; at = whole.indexOf('key-', at + 1)) places.push(at)
  let named = 0
  for (const at of places) {
    // The byte behind the key is of the checksum or of the value, if the place counts at all.
    const { damage } = verified(flipped(at + 12, 3))
    if (damage.some(({ what }) => /^state of group \d: entry [0-9a-f]+ does not match its checksum$/.test(what)))
      named++
  }
  expect(named).toBeGreaterThan(100)
})

test('a file that is cut at any page is damaged', () => {
  for (let length = 1; length < whole.length; length += PAGE_BYTES - 1) {
    const { damage } = verified(whole.subarray(0, length))
    const isLastPage = length >= whole.length - PAGE_BYTES
    expect(damage.length > 0 || isLastPage, `${length} bytes`).toBe(true)
  }
})

test('a meta page with another transaction id, which hides the newest state or promises a newer one, is named', () => {
  for (const at of [0, PAGE_BYTES]) {
    const position = at + PAGE_HEADER_BYTES + 128
    for (const off of [-4n, -2n, 2n, 4n]) {
      const content = Buffer.from(whole)
      content.writeBigUInt64LE(whole.readBigUInt64LE(position) + off, position)
      const { damage } = verified(content)
      expect(damage, `page at ${at}, ${off}`).toContainEqual(
        expect.objectContaining({ position: at, what: expect.stringMatching(/meta page \d: of transaction/) }),
      )
    }
  }
})

test('a file of another kind, or of zeroes, is damage with what to do', () => {
  for (const content of [Buffer.alloc(40_000, 7), Buffer.alloc(40_000), Buffer.alloc(10, 1)]) {
    const { damage } = verified(content)
    expect(damage).toMatchObject([{ file: 'state/data.mdb', position: 0 }])
    expect(damage[0]!.advice).toContain('move the folder "state" away')
  }
})

test('missing checkpoints are damage where the log no longer starts at its birth, and a note elsewhere', () => {
  const cut = [...LOGS.slice(1), { group: 0, baseIndex: 30, lastIndex: 50 }]
  for (const missing of ['folder', 'file', 'content']) {
    const folder = join(root, `missing-${missing}`)
    mkdirSync(missing === 'folder' ? folder : join(folder, 'state'), { recursive: true })
    if (missing === 'content') writeFileSync(join(folder, 'state/data.mdb'), '')
    expect(verifyState(folder, LOGS)).toMatchObject({ damage: [], notes: [{ file: 'state/data.mdb' }] })
    expect(verifyState(folder, cut).damage).toMatchObject([
      { file: 'state/data.mdb', what: 'no checkpoint of group 0, whose log starts after entry 30' },
    ])
  }
})

test('a checkpoint is compared with its log', () => {
  const logs = [
    { group: 0, baseIndex: 12, lastIndex: 50 },
    { group: 1, baseIndex: 1, lastIndex: 10 },
    { group: 2, baseIndex: 1, lastIndex: null },
  ]
  const { damage, notes } = verified(whole, logs)
  expect(damage.map(({ what }) => what)).toEqual(['state of group 0: it is of entry 11, the log starts after entry 12'])
  expect(damage[0]!.advice).toContain('or the state of another replica')
  expect(notes.map(({ what }) => what)).toEqual([
    'the checkpoint of group 1 is of entry 11, the log ends at 10',
    'a checkpoint of group 3, of which there is no log here',
  ])
})

test('what is not of the checkpoints is not checked, by name; a file that cannot be read is told', () => {
  const folder = folderWith(whole)
  writeFileSync(join(folder, 'state/notes.txt'), '')
  writeFileSync(join(folder, 'state/lock.mdb'), 'anything')
  expect(verifyState(folder, LOGS).notChecked.map(({ file }) => file)).toEqual(['state/notes.txt'])
  const odd = join(root, 'odd')
  mkdirSync(odd)
  writeFileSync(join(odd, 'state'), '')
  expect(() => verifyState(odd, LOGS)).toThrow('ENOTDIR')
})
