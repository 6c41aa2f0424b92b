import { expect, test } from 'vitest'
import type { GroupLog } from './log-store.ts'
import { FaultDisk, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUPS = 20
const WRITE_FILES_MAX = 3
const FLUSH_SLOTS = 2

/** Counts files that are open for rounds. */
class CountingDisk extends FaultDisk {
  openNow = 0
  openMost = 0
  opened = 0
  closedInUse = 0
  /** Writes to files of group 1 wait for it. */
  gate: Promise<void> = Promise.resolve()

  override async open(...args: Parameters<FaultDisk['open']>): ReturnType<FaultDisk['open']> {
    const file = await super.open(...args)
    const [path, mode] = args
    if (mode !== 'writeThrough' || !path.endsWith('.log')) return file
    this.opened++
    this.openMost = Math.max(this.openMost, ++this.openNow)
    let writes = 0
    return {
      ...file,
      writev: async (buffers, position) => {
        writes++
        if (path.includes('/1/')) await this.gate
        await file.writev(buffers, position)
        writes--
      },
      close: () => {
        if (writes > 0) this.closedInUse++
        this.openNow--
        return file.close()
      },
    }
  }
}

test('files that are open for writing do not grow with the groups, and what is closed early goes on', async () => {
  const disk = new CountingDisk(seededRandom(1))
  const options = { writeFilesMax: WRITE_FILES_MAX, flushSlots: FLUSH_SLOTS, segmentBytesMax: 200_000 }
  const store = await openOn(disk, options)
  const logs = []
  for (let group = 1; group <= GROUPS; group++) {
    const log = await store.create(group, { replicaId: 1, base: testBase() })
    logs.push({ log, source: new TestLog(group, log.base), sent: [] as Uint8Array[] })
  }
  for (let round = 0; round < 6; round++) {
    // All of them at once, and one of them twice: it is used most.
    await Promise.all(
      [...logs, logs[0]!].map(({ log, source, sent }) => {
        const frames = source.append(2, { payload: new Uint8Array(300).fill(round) })
        sent.push(...frames.map(frame => frame.bytes))
        return written(log, { frames })
      }),
    )
    expect(disk.openNow).toBeLessThanOrEqual(WRITE_FILES_MAX)
  }
  expect(disk.openMost).toBeLessThanOrEqual(WRITE_FILES_MAX + FLUSH_SLOTS)
  for (const { log, sent } of logs) expect((await readAll(log)).map(bytes => [...bytes])).toEqual(sent.map(b => [...b]))
  await store.close()
  expect(disk.openNow).toBe(0)
  const again = await openOn(disk, options)
  for (const [at, log] of again.groups().entries()) expect(await readAll(log)).toHaveLength(logs[at]!.sent.length)
  await again.close()
})

test('a group that writes on keeps its file', async () => {
  const disk = new CountingDisk(seededRandom(1))
  const store = await openOn(disk, { writeFilesMax: 2, segmentBytesMax: 200_000 })
  const sources: { readonly log: GroupLog; readonly source: TestLog }[] = []
  for (let group = 1; group <= 4; group++) {
    const log = await store.create(group, { replicaId: 1, base: testBase() })
    sources.push({ log, source: new TestLog(group, log.base) })
  }
  const write = ({ log, source }: (typeof sources)[0]): Promise<void> => written(log, { frames: source.append(1) })
  for (const each of sources) await write(each)
  disk.opened = 0
  const [busy, ...others] = sources as [(typeof sources)[0], ...typeof sources]
  for (let round = 0; round < 5; round++) {
    for (const other of others) {
      await write(busy)
      await write(other)
    }
  }
  // The others take turns in the second place.
  expect(disk.opened).toBe(1 + 5 * others.length)
  await store.close()
})

test('a file that is written to is not the one to be closed', async () => {
  const disk = new CountingDisk(seededRandom(1))
  const store = await openOn(disk, { writeFilesMax: 1, flushSlots: FLUSH_SLOTS, segmentBytesMax: 200_000 })
  const make = async (group: number): Promise<() => Promise<void>> => {
    const log = await store.create(group, { replicaId: 1, base: testBase() })
    const source = new TestLog(group, log.base)
    return () => written(log, { frames: source.append(1) })
  }
  const writeSlow = await make(1)
  const writeFast = await make(2)
  // The first round of a segment is written aside; the second leaves the file resting.
  for (const write of [writeFast, writeFast, writeSlow, writeSlow]) await write()
  const { promise, resolve } = Promise.withResolvers<void>()
  disk.gate = promise
  const slow = writeSlow()
  for (let round = 0; round < 3; round++) await writeFast()
  expect(disk.openNow).toBe(2)
  resolve()
  await slow
  expect(disk.closedInUse).toBe(0)
  await store.close()
})
