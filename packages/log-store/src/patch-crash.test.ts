/** Stops at every operation on the disk while a patch is written: the hole is there or it is mended, nothing else changes. */

import { decodeFrame, type Frame } from '@millrace/record'
import { beforeAll, describe, expect, test } from 'vitest'
import { type GroupLog, LogDamaged } from './log-store.ts'
import { ROUND_RECORD_BYTES } from './round-record.ts'
import { type FaultDisk, type FaultDiskFaults, ManualClock, openOn, TestLog, written } from './testing/index.ts'
import { allOf, FOLDER, GROUP, hex, makeSample, type Sample } from './testing/sample-log.ts'

let sample: Sample
beforeAll(async () => {
  sample = await makeSample()
})

/** The sample, damaged in the second frame of its first round. */
function damagedDisk(faults: FaultDiskFaults): FaultDisk {
  const disk = sample.clean.clone()
  Object.assign(disk.faults, faults)
  const path = disk.files().find(name => name.startsWith(FOLDER) && name.endsWith('.log'))!
  const bytes = Uint8Array.from(disk.contentOf(path))
  bytes[512 + ROUND_RECORD_BYTES + 900]! ^= 1
  disk.replace(path, bytes)
  return disk
}

function frames(first: number, last: number): Frame[] {
  return sample.frames.slice(first - 2, last - 1).map(text => {
    const frame = decodeFrame(Uint8Array.from(Buffer.from(text, 'hex')))
    if (typeof frame === 'string') throw new Error(frame)
    return frame
  })
}

/** Finds the hole and patches it; more is appended at the same time. @returns whether the patch was acknowledged */
async function patchUntilStop(disk: FaultDisk): Promise<boolean> {
  let patched = false
  let over = false
  const run = async (): Promise<void> => {
    const [log] = (await openOn(disk)).groups()
    await expect(log!.read(3, 4, 1)).rejects.toBeInstanceOf(LogDamaged)
    const { before, last } = log!.holes[0]!
    const done = log!.patch(frames(before.index + 1, last.index))
    log!.write({ frames: new TestLog(GROUP, log!.end).append(1), commit: 1 }, () => undefined)
    expect(await done).toBe(true)
    patched = true
    expect(await allOf(log!)).toEqual([...sample.frames, expect.any(String)])
    over = true
  }
  let failure: unknown
  run().catch(error => {
    failure = error
  })
  while (!over && !disk.stopped && failure === undefined) await new Promise<void>(resolve => setImmediate(resolve))
  if (failure !== undefined) throw failure
  return patched
}

/** What each read gives, the damaged entries as null. */
async function readEach(log: GroupLog): Promise<(string | null)[]> {
  const found: (string | null)[] = []
  for (let index = 2; index <= sample.frames.length + 1; index++) {
    try {
      found.push(hex((await log.read(index, index + 1, 1))[0]!.bytes))
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error
      found.push(null)
    }
  }
  return found
}

const MODES: readonly (readonly [string, 'losePower' | 'kill', FaultDiskFaults])[] = [
  ['power loss', 'losePower', {}],
  ['kill, then power loss', 'kill', {}],
  ['a disk that garbles what is written over', 'losePower', { garblesOverwrites: true }],
  ['a disk whose operations overtake each other', 'losePower', { garblesOverwrites: true, isSlow: true }],
]

describe.each(MODES)('stopped at every operation of a patch: %s', (_, stop, faults) => {
  test('the hole is there or mended, and an acknowledged patch stays', async () => {
    const whole = damagedDisk(faults)
    expect(await patchUntilStop(whole)).toBe(true)
    const outcomes = { hole: 0, mended: 0 }
    for (let at = 1; at <= whole.operations; at++) {
      const disk = damagedDisk({ ...faults, crashAt: at })
      const wasPatched = await patchUntilStop(disk)
      const after = stop === 'kill' ? disk.kill() : disk.losePower()
      const [log] = (await openOn(after)).groups()
      const found = await readEach(log!)
      const isMended = !found.includes(null)
      const where = `operation ${at} of ${whole.operations}`
      expect(isMended || !wasPatched, where).toBe(true)
      expect(
        found.map((frame, i) => frame ?? sample.frames[i]),
        where,
      ).toEqual(sample.frames)
      expect(log!.holes.length, where).toBe(isMended ? 0 : 1)
      outcomes[isMended ? 'mended' : 'hole']++
      // What was handed out stays so through the next power loss, and a hole can be patched then.
      const [again] = (await openOn(after.losePower())).groups()
      expect(await readEach(again!), where).toEqual(found)
      const [hole] = again!.holes
      if (hole !== undefined) expect(await again!.patch(frames(hole.before.index + 1, hole.last.index))).toBe(true)
      await written(again!, { frames: new TestLog(GROUP, again!.end).append(1) })
      expect((await allOf(again!)).slice(0, sample.frames.length), where).toEqual(sample.frames)
    }
    expect(outcomes.hole).toBeGreaterThan(5)
    expect(outcomes.mended).toBeGreaterThan(0)
  })
})

test('a patch on a full disk waits for space, then goes on by itself', async () => {
  const disk = damagedDisk({})
  const problems: string[] = []
  const clock = new ManualClock()
  const store = await openOn(disk, { clock, onProblem: error => problems.push(error.message) })
  const [log] = store.groups()
  await readEach(log!)
  const [hole] = log!.holes
  disk.faults.failing = (operation, path) => (operation === 'writev' && path.includes('.patch') ? 'ENOSPC' : undefined)
  let patched = false
  void log!.patch(frames(hole!.before.index + 1, hole!.last.index)).then(() => {
    patched = true
  })
  for (let turn = 0; turn < 20; turn++) await new Promise<void>(resolve => setImmediate(resolve))
  expect(patched).toBe(false)
  expect(log!.holes).toEqual([hole])
  expect(problems.join()).toMatch(/the disk is full: .*\.patch/)
  expect(disk.files().some(path => path.endsWith('.patch'))).toBe(false)
  disk.faults.failing = () => undefined
  clock.advance(1_000)
  for (let turn = 0; turn < 20 && !patched; turn++) await new Promise<void>(resolve => setImmediate(resolve))
  expect([patched, log!.holes]).toEqual([true, []])
  await store.close()
  const [again] = (await openOn(disk.losePower())).groups()
  expect(await readEach(again!)).toEqual(sample.frames)
  expect(disk.files().filter(path => path.endsWith('.new'))).toEqual([])
})
