/** What the store does when the disk is slow, full or broken, and how it shares the disk when it is well. */
import { expect, test } from 'vitest'
import type { Disk } from './disk.ts'
import { positionAfter } from './frame-sequence.ts'
import type { GroupLog, LogError, LogStore } from './log-store.ts'
import type { SegmentedLogStoreOptions } from './segmented-log-store.ts'
import { FaultDisk, ManualClock, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

interface Opened {
  readonly disk: FaultDisk
  readonly clock: ManualClock
  readonly store: LogStore
  readonly log: GroupLog
  readonly source: TestLog
  readonly fatal: LogError[]
  readonly problems: Error[]
}

async function openNew(
  wrap: (disk: FaultDisk) => Disk = disk => disk,
  over: Partial<SegmentedLogStoreOptions> = {},
): Promise<Opened> {
  const disk = new FaultDisk(seededRandom(1))
  const clock = new ManualClock()
  const fatal: LogError[] = []
  const problems: Error[] = []
  const options = {
    clock,
    disk: wrap(disk),
    onFatal: (error: LogError) => void fatal.push(error),
    onProblem: (error: Error) => void problems.push(error),
  }
  const store = await openOn(disk, { ...options, segmentBytesMax: 1 << 20, ...over })
  const log = await store.create(1, { replicaId: 9, base: testBase() })
  return { disk, clock, store, log, source: new TestLog(1, log.base), fatal, problems }
}

async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>(resolve => setImmediate(resolve))
}

/** A disk whose fdatasyncs wait at a gate, and are counted. */
function gated(
  disk: FaultDisk,
  gate: { open: boolean; running: number; runningMax: number; waiting: (() => void)[] },
): Disk {
  const pass = async (): Promise<void> => {
    if (!gate.open) await new Promise<void>(resolve => void gate.waiting.push(resolve))
  }
  const counted = async (): Promise<void> => {
    gate.runningMax = Math.max(gate.runningMax, ++gate.running)
    await pass()
    gate.running--
  }
  return {
    open: async (path, mode) => {
      const file = await disk.open(path, mode)
      return {
        ...file,
        async datasync() {
          await counted()
          await file.datasync()
        },
        async writev(buffers, position) {
          if (mode === 'writeThrough') await counted()
          await file.writev(buffers, position)
        },
      }
    },
    list: path => disk.list(path),
    makeFolder: path => disk.makeFolder(path),
    rename: (from, to) => disk.rename(from, to),
    removeFile: path => disk.removeFile(path),
    removeFolder: path => disk.removeFolder(path),
    syncFolder: path => disk.syncFolder(path),
    freeBytes: () => disk.freeBytes(),
  }
}

function release(gate: { open: boolean; waiting: (() => void)[] }): void {
  gate.open = true
  for (const go of gate.waiting.splice(0)) go()
}

test('nothing is acknowledged before its fdatasync', async () => {
  const gate = { open: true, running: 0, runningMax: 0, waiting: [] }
  const { log, source } = await openNew(disk => gated(disk, gate))
  await written(log, { frames: source.append(1) })
  gate.open = false
  const answers: string[] = []
  log.write({ frames: source.append(1), commit: 1 }, () => answers.push('frames'))
  log.write({ frames: [], commit: 1 }, () => answers.push('empty'))
  log.write({ frames: [], ballot: { term: 2, vote: 3 }, commit: 1 }, () => answers.push('ballot'))
  await turns()
  expect(answers).toEqual([])
  expect(log.durable.index).toBe(2)
  expect(log.pendingBytes).toBeGreaterThan(0)
  release(gate)
  await turns()
  expect(answers).toEqual(['frames', 'empty', 'ballot'])
})

test('no frame is written before the ballot that it came with is in both copies', async () => {
  const { disk, log, source } = await openNew()
  await written(log, { frames: source.append(1) })
  const syncs: string[] = []
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  disk.faults.delay = (operation, path) => {
    if (operation === 'writev' && path.endsWith('.log')) syncs.push('frames')
    if (operation !== 'datasync' || !path.endsWith('/votes')) return undefined
    syncs.push('votes')
    return gates[syncs.length - 1]!.promise
  }
  const done = written(log, { frames: source.append(1, { term: 2 }), ballot: { term: 2, vote: 3 } })
  await turns()
  expect(syncs).toEqual(['votes'])
  gates[0]!.resolve()
  await turns()
  expect(syncs).toEqual(['votes', 'votes'])
  gates[1]!.resolve()
  await done
  expect(syncs).toEqual(['votes', 'votes', 'frames'])
})

test('what gathers while a round runs shares the next one', async () => {
  const gate = { open: true, running: 0, runningMax: 0, waiting: [] }
  const { store, log, source } = await openNew(disk => gated(disk, gate))
  await written(log, { frames: source.append(1) })
  const before = store.stats().fsyncs
  gate.open = false
  const first = written(log, { frames: source.append(1) })
  await turns(2)
  const later = Array.from({ length: 50 }, () => written(log, { frames: source.append(1) }))
  release(gate)
  await Promise.all([first, ...later])
  expect(store.stats().fsyncs - before).toBe(2)
  expect((await readAll(log)).length).toBe(52)
})

test('at most two flushes run at once, whatever the number of dirty groups', async () => {
  const gate = { open: true, running: 0, runningMax: 0, waiting: [] }
  const { store } = await openNew(disk => gated(disk, gate))
  const logs: GroupLog[] = []
  for (let group = 10; group < 60; group++) logs.push(await store.create(group, { replicaId: 1, base: testBase() }))
  gate.runningMax = 0
  await Promise.all(logs.map(log => written(log, { frames: new TestLog(log.group, log.base).append(1) })))
  expect(gate.runningMax).toBe(2)
})

test('ballots of many groups that arrive together take four fdatasyncs at most', async () => {
  const { store } = await openNew()
  const logs: GroupLog[] = []
  for (let group = 10; group < 110; group++) logs.push(await store.create(group, { replicaId: 1, base: testBase() }))
  const before = store.stats().fsyncs
  await Promise.all(logs.map((log, at) => written(log, { ballot: { term: 3, vote: at } })))
  expect(store.stats().fsyncs - before).toBeLessThanOrEqual(4)
})

test('a failed fdatasync is fatal, told once, never tried again, and acknowledges nothing', async () => {
  const { disk, store, log, source, fatal } = await openNew()
  await written(log, { frames: source.append(1) })
  let syncs = 0
  disk.faults.failing = operation => (operation === 'datasync' && ++syncs > 0 ? 'EIO' : undefined)
  const answers: number[] = []
  log.write({ frames: source.append(1), commit: 1 }, () => answers.push(1))
  await turns()
  log.write({ frames: source.append(1), commit: 1 }, () => answers.push(2))
  log.write({ frames: [], ballot: { term: 8, vote: 1 }, commit: 1 }, () => answers.push(3))
  await turns()
  expect(answers).toEqual([])
  expect(fatal).toMatchObject([{ code: 'IO' }])
  expect(fatal[0]!.message).toMatch(/writing through to .* failed .*acknowledged before is durable/)
  expect(syncs).toBe(1)
  await store.close()
  expect(answers).toEqual([])
})

test('after a failed fdatasync the page cache is not trusted', async () => {
  const { disk, log, source } = await openNew()
  await written(log, { frames: source.append(1) })
  disk.faults.failing = operation => (operation === 'datasync' ? 'EIO' : undefined)
  log.write({ frames: source.append(1), commit: 1 }, () => expect.unreachable())
  await turns()
  const restarted = disk.kill()
  const seen = (await openOn(restarted)).groups()[0]!
  const frames = await readAll(seen)
  const [after] = (await openOn(restarted.losePower())).groups()
  expect(await readAll(after!)).toEqual(frames)
})

test('a full disk refuses appends, waits, and goes on by itself', async () => {
  const { disk, clock, store, log, source, fatal, problems } = await openNew()
  await written(log, { frames: source.append(1) })
  expect(store.acceptsAppends).toBe(true)
  disk.faults.failing = (operation, path) => (operation === 'writev' && path.includes('.log') ? 'ENOSPC' : undefined)
  let answered = false
  log.write({ frames: source.append(2), commit: 1 }, () => {
    answered = true
  })
  for (let second = 0; second < 3; second++) {
    await turns()
    clock.advance(1_000)
  }
  expect([answered, store.acceptsAppends, fatal]).toEqual([false, false, []])
  expect(problems.map(problem => problem.message)).toEqual([expect.stringContaining('the disk is full')])
  // Votes need no space and do not wait for those who do.
  const other = await store.create(2, { replicaId: 1, base: testBase() })
  await written(other, { ballot: { term: 2, vote: 2 } })
  disk.faults.failing = () => undefined
  clock.advance(1_000)
  await turns()
  expect([answered, store.acceptsAppends]).toEqual([true, true])
  expect((await readAll((await openOn(disk.losePower())).groups()[0]!)).length).toBe(3)
})

test('a disk that fills up during a roll leaves nothing behind', async () => {
  const { disk, clock, store, log, source } = await openNew()
  disk.faults.failing = (operation, path) => (operation === 'writev' && path.endsWith('.new') ? 'ENOSPC' : undefined)
  const done = written(log, { frames: source.append(1) })
  await turns()
  disk.faults.failing = () => undefined
  clock.advance(1_000)
  await done
  await store.close()
  expect(disk.files().filter(path => path.endsWith('.new'))).toEqual([])
  expect((await readAll((await openOn(disk)).groups()[0]!)).length).toBe(1)
})

test('closing does not wait for space', async () => {
  const { disk, clock, store, log, source } = await openNew()
  disk.faults.failing = operation => (operation === 'writev' ? 'ENOSPC' : undefined)
  log.write({ frames: source.append(1), commit: 1 }, () => expect.unreachable())
  await turns()
  let closed = false
  const closing = store.close().then(() => {
    closed = true
  })
  for (let second = 0; second < 5 && !closed; second++) {
    await turns()
    clock.advance(1_000)
  }
  await closing
})

test('below the reserve appends are refused', async () => {
  const disk = new FaultDisk(seededRandom(1))
  const clock = new ManualClock()
  let free = 1_000
  disk.freeBytes = async () => free
  const store = await openOn(disk, { clock, diskReserveBytes: 500 })
  expect(store.acceptsAppends).toBe(true)
  free = 499
  clock.advance(1_000)
  await turns()
  expect(store.acceptsAppends).toBe(false)
  expect(store.stats().diskFreeBytes).toBe(499)
  free = 500
  clock.advance(1_000)
  await turns()
  expect(store.acceptsAppends).toBe(true)
})

test('a stuck disk is seen', async () => {
  const gate = { open: true, running: 0, runningMax: 0, waiting: [] }
  const { clock, store, log, source } = await openNew(disk => gated(disk, gate))
  gate.open = false
  const done = written(log, { frames: source.append(1) })
  await turns()
  clock.advance(700)
  expect(store.stats().stuckMs).toBeGreaterThanOrEqual(700)
  release(gate)
  await done
  await turns()
  expect(store.stats().stuckMs).toBe(0)
})

test('damage at the entry that a truncation would keep stops that group and no other', async () => {
  const { disk, store, problems, fatal } = await openNew(whole => whole, {
    segmentBytesMax: 3_000,
    tailCacheBytesMax: 0,
  })
  const log = await store.create(2, { replicaId: 1, base: testBase() })
  const source = new TestLog(2, log.base)
  const payload = new Uint8Array(900)
  for (let round = 0; round < 5; round++) await written(log, { frames: source.append(3, { payload }) })
  // The one in the middle of the first round.
  const [kept] = await log.read(3, 4, 1)
  await written(log, {})
  const path = disk.files().find(name => name.includes('/2/') && name.endsWith('.log'))!
  disk.contentOf(path)[512 + 192 + kept!.bytes.length + 300]! ^= 1
  log.write({ frames: new TestLog(2, positionAfter(kept!)).append(1, { term: 9 }), commit: 1 }, () =>
    expect.unreachable(),
  )
  await turns()
  expect(fatal).toEqual([])
  const hole = { before: { index: 2 }, last: { index: 4 } }
  expect(problems).toMatchObject([
    { code: 'DAMAGED', group: 2, hole },
    { code: 'DAMAGED', group: 2, hole },
  ])
  expect(store.refused()).toMatchObject([{ group: 2, reason: { code: 'DAMAGED' } }])
  expect(store.groups().map(each => each.group)).toEqual([1])
  expect(() => log.write({ frames: [], commit: 1 }, () => undefined)).toThrow('entries 3 to 4 are damaged')
  await written(store.groups()[0]!, { frames: new TestLog(1, testBase()).append(1) })
  await store.close()
})
