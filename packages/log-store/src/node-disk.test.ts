/** What `writeThrough` promises: durable when the write has returned, by the descriptor or by an fdatasync after it. */
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { nodeDisk, syncingWrites } from './node-disk.ts'
import { openSegmentedLogStore } from './segmented-log-store.ts'
import { FaultDisk, seededRandom, TestLog, testBase, written } from './testing/index.ts'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'

/** The flag of Linux on x86 and ARM, in octal as /proc shows it. */
const O_DSYNC = 0o10000

afterAll(removeTemporaryFolders)

/** Flags of the descriptors that this process has open for files whose path ends so. */
async function flagsOf(ending: string): Promise<number[]> {
  const flags: number[] = []
  for (const fd of await readdir('/proc/self/fd')) {
    // The descriptor that lists the folder is closed by now.
    const path = await readlink(`/proc/self/fd/${fd}`).catch(() => '')
    if (!path.endsWith(ending)) continue
    const line = /^flags:\s*([0-7]+)$/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, 'utf8'))
    flags.push(Number.parseInt(line![1]!, 8))
  }
  return flags
}

test('rounds go through a descriptor that syncs on every write, and through no other', async context => {
  if (process.platform !== 'linux') return context.skip('not run: /proc is of Linux')
  const dir = join(await temporaryFolder(), 'log')
  const store = await openSegmentedLogStore({
    dir,
    diskReserveBytes: 0,
    onFatal: error => {
      throw error
    },
  })
  const log = await store.create(1, { replicaId: 1, base: testBase() })
  const source = new TestLog(1, log.base)
  // The first makes the segment: a descriptor that was good enough for that one must not take rounds.
  for (let round = 0; round < 3; round++) await written(log, { frames: source.append(1) })
  const flags = await flagsOf('.log')
  expect(flags.length).toBe(1)
  expect(flags[0]! & O_DSYNC).toBe(O_DSYNC)
  await store.close()
  expect(await flagsOf('.log')).toEqual([])
})

test('without such descriptors a write is synced before it returns', async () => {
  const disk = new FaultDisk(seededRandom(1))
  await (await disk.open('file', 'create')).datasync()
  await disk.syncFolder('')
  const bytes = new Uint8Array(5_000).fill(7)
  await syncingWrites(await disk.open('file', 'write')).writev([bytes], 0)
  expect(disk.losePower().contentOf('file')).toEqual(bytes)
})

test('a file written through holds what was written, wherever the buffers end', async () => {
  const path = join(await temporaryFolder(), 'file')
  await (await nodeDisk.open(path, 'create')).close()
  const file = await nodeDisk.open(path, 'writeThrough')
  await file.writev([new Uint8Array(700).fill(1), new Uint8Array(0), new Uint8Array(41).fill(2)], 100)
  await file.close()
  const content = await readFile(path)
  expect([content.length, content[99], content[100], content[799], content[800], content[840]]).toEqual([
    841, 0, 1, 1, 2, 2,
  ])
})
