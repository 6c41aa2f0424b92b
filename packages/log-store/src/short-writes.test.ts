/** A system that writes less than it is asked for: everything arrives, at its place, once. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test, vi } from 'vitest'
import { nodeDisk } from './node-disk.ts'
import { openSegmentedLogStore } from './segmented-log-store.ts'
import { readAll, written } from './testing/log-store-contract.ts'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'
import { TestLog, testBase } from './testing/test-log.ts'

/** How many bytes each coming write may take, in turns; and how many writes came back short. */
const system = vi.hoisted(() => ({ counts: [1], at: 0, short: 0 }))

vi.mock('node:fs', async importOriginal => {
  const real = await importOriginal<typeof import('node:fs')>()
  const writev: typeof real.writev = ((
    file: number,
    buffers: readonly Uint8Array[],
    position: number,
    done: (error: Error | null, count: number) => void,
  ) => {
    const whole = Buffer.concat(buffers)
    const taken = Math.min(whole.length, system.counts[system.at++ % system.counts.length]!)
    if (taken < whole.length) system.short++
    real.write(file, whole, 0, taken, position, (error, count) => done(error, count))
  }) as never
  return { ...real, writev }
})

afterAll(removeTemporaryFolders)

test('buffers of any sizes, whatever part of them each write takes', async () => {
  const folder = await temporaryFolder()
  let files = 0
  const sizes = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 8 })
  const counts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(sizes, counts, async (lengths, taken) => {
      system.counts = taken
      const path = join(folder, String(files++))
      const file = await nodeDisk.open(path, 'create')
      let next = 0
      const buffers = lengths.map(length => new Uint8Array(length).map(() => ++next % 251))
      await file.writev(buffers, 5)
      await file.close()
      const expected = Buffer.concat([Buffer.alloc(5), ...buffers])
      const content = await readFile(path)
      expect(content.equals(next === 0 ? content.subarray(0, 0) : expected)).toBe(true)
    }),
    { numRuns: 150 },
  )
  expect(system.short).toBeGreaterThan(100)
})

test('a log is what it would have been', async () => {
  system.counts = [700, 1, 512, 100_000, 13]
  const dir = join(await temporaryFolder(), 'log')
  const onFatal = (error: Error): never => {
    throw error
  }
  const store = await openSegmentedLogStore({ dir, segmentBytesMax: 6_000, diskReserveBytes: 0, onFatal })
  const log = await store.create(1, { replicaId: 1, base: testBase() })
  const source = new TestLog(1, log.base)
  const frames = []
  for (let round = 0; round < 8; round++) {
    const added = source.append(2, { payload: new Uint8Array(600).fill(round) })
    frames.push(...added.map(frame => Buffer.from(frame.bytes).toString('hex')))
    await written(log, { frames: added })
  }
  await store.close()
  const again = await openSegmentedLogStore({ dir, segmentBytesMax: 6_000, diskReserveBytes: 0, onFatal })
  const read = await readAll(again.groups()[0]!)
  expect(read.map(bytes => Buffer.from(bytes).toString('hex'))).toEqual(frames)
  await again.close()
})
