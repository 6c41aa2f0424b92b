/** The same on the file system of this machine: torn tails, damage, processes that are really killed, many groups. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, expect, test } from 'vitest'
import type { GroupLog, LogStore } from './log-store.ts'
import { openSegmentedLogStore } from './segmented-log-store.ts'
import { readAll, TestLog, testBase, written } from './testing/index.ts'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'

afterAll(removeTemporaryFolders)

function open(dir: string): Promise<LogStore> {
  return openSegmentedLogStore({
    dir,
    diskReserveBytes: 0,
    onFatal: error => {
      throw error
    },
  })
}

async function newDir(): Promise<string> {
  return join(await temporaryFolder(), 'log')
}

async function fill(log: GroupLog, rounds: number): Promise<Uint8Array[]> {
  const source = new TestLog(log.group, log.end)
  for (let round = 0; round < rounds; round++)
    await written(log, { frames: source.append(2, { payload: new Uint8Array(900) }) })
  return readAll(log)
}

async function segmentOf(dir: string, group: number): Promise<string> {
  const folder = join(dir, 'groups', String(group))
  return join(folder, (await readdir(folder)).find(name => name.endsWith('.log'))!)
}

test('files are private', async () => {
  const dir = await newDir()
  const store = await open(dir)
  await fill(await store.create(1, { replicaId: 1, base: testBase() }), 1)
  expect((await stat(dir)).mode & 0o777).toBe(0o700)
  expect((await stat(await segmentOf(dir, 1))).mode & 0o777).toBe(0o600)
  expect((await stat(join(dir, 'votes'))).mode & 0o777).toBe(0o600)
  await store.close()
})

test('a torn last round is dropped whole and the log goes on', async () => {
  const dir = await newDir()
  const store = await open(dir)
  const frames = await fill(await store.create(1, { replicaId: 1, base: testBase() }), 4)
  // A header of one sector and rounds of five; what follows is prepared space, and may be cut.
  const size = 512 + 4 * 2_560
  expect((await stat(await segmentOf(dir, 1))).size).toBeGreaterThanOrEqual(size)
  for (let cut = 1; cut < 2_560; cut += 97) {
    const copy = await newDir()
    await cp(dir, copy, { recursive: true })
    await truncate(await segmentOf(copy, 1), size - cut)
    const again = await open(copy)
    const [log] = again.groups()
    expect(await readAll(log!)).toEqual(frames.slice(0, 6))
    await fill(log!, 1)
    await again.close()
    expect((await readAll((await open(copy)).groups()[0]!)).length).toBe(8)
  }
  await store.close()
})

test('a flipped bit before the last round is a hole until it is patched, and the file stays as it is', async () => {
  const dir = await newDir()
  const store = await open(dir)
  const log = await store.create(1, { replicaId: 1, base: testBase() })
  const frames = await fill(log, 4)
  const patch = await log.read(4, 6, 1 << 20)
  await store.close()
  const path = await segmentOf(dir, 1)
  const bytes = await readFile(path)
  // The first frame of the second round.
  bytes[3_500]! ^= 4
  await writeFile(path, bytes)
  const damaged = await open(dir)
  const [log1] = damaged.groups()
  expect(log1!.holes).toMatchObject([{ before: { index: 3 }, last: { index: 5 } }])
  await expect(log1!.read(4, 5, 1)).rejects.toMatchObject({ code: 'DAMAGED', group: 1, hole: log1!.holes[0] })
  expect(await log1!.patch(patch.slice(0, 1))).toBe(false)
  expect(await log1!.patch(patch)).toBe(true)
  expect(log1!.holes).toEqual([])
  expect(await readAll(log1!)).toEqual(frames)
  await damaged.close()
  const [again] = (await open(dir)).groups()
  expect(again!.holes).toEqual([])
  expect(await readAll(again!)).toEqual(frames)
  expect((await readFile(path)).equals(bytes)).toBe(true)
})

test('whatever a killed process had acknowledged is there, ten times in a row', async () => {
  const dir = await newDir()
  const first = await open(dir)
  await first.create(1, { replicaId: 1, base: testBase() })
  await first.close()
  const url = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href)
  const program = `
    const { openSegmentedLogStore } = await import(${url('./segmented-log-store.ts')})
    const { TestLog } = await import(${url('./testing/test-log.ts')})
    const store = await openSegmentedLogStore({ dir: ${JSON.stringify(dir)}, segmentBytesMax: 20000, diskReserveBytes: 0, onFatal: e => { throw e } })
    const log = store.groups()[0]
    const source = new TestLog(1, log.end)
    for (;;) {
      await Promise.all([1, 2, 3].map(() => new Promise(done => log.write({ frames: source.append(2), commit: 1 }, done))))
      console.log(log.durable.index)
    }`
  let end = 1
  for (let run = 0; run < 10; run++) {
    const child = spawn(process.execPath, ['--conditions=millrace-source', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let acknowledged = 0
    const lines = createInterface({ input: child.stdout })
    lines.on('line', line => {
      acknowledged = Number(line)
      if (acknowledged > end + 30) child.kill('SIGKILL')
    })
    await once(child, 'exit')
    const store = await open(dir)
    const [log] = store.groups()
    expect(log!.end.index).toBeGreaterThanOrEqual(acknowledged)
    expect((await readAll(log!)).length).toBe(log!.end.index - 1)
    end = log!.end.index
    await store.close()
  }
})

test('hundreds of groups on one node', async () => {
  const dir = await newDir()
  const store = await open(dir)
  const groups = Array.from({ length: 300 }, (_, at) => at + 1)
  const logs = await Promise.all(groups.map(group => store.create(group, { replicaId: 1, base: testBase() })))
  await Promise.all(
    logs.map(log => written(log, { frames: new TestLog(log.group, log.base).append(2), ballot: { term: 1, vote: 1 } })),
  )
  await store.close()
  const again = await open(dir)
  expect(again.groups().map(log => [log.group, log.end.index])).toEqual(groups.map(group => [group, 3]))
  await again.close()
})

test('a write of more frames than one system call takes', async () => {
  const dir = await newDir()
  const store = await open(dir)
  const log = await store.create(1, { replicaId: 1, base: testBase() })
  const frames = new TestLog(1, log.base).append(5_000, { payload: new Uint8Array(3) })
  await written(log, { frames })
  await store.close()
  const again = await open(dir)
  expect((await readAll(again.groups()[0]!)).length).toBe(5_000)
  await again.close()
})
