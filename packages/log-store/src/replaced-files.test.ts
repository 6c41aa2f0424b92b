/**
 * Files that are cut, zeroed, mixed up, or old copies of themselves: whatever comes back of a log is what was written
 * there, and what does not come back is told. A log that was stopped in order, so that its mark knows all of it.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { positionAfter } from './frame-sequence.ts'
import type { GroupLog } from './log-store.ts'
import { FaultDisk, seededRandom } from './testing/fault-disk.ts'
import { written } from './testing/log-store-contract.ts'
import { hex, makeSample, type Sample } from './testing/sample-log.ts'
import { openOn } from './testing/store-on.ts'
import { TestLog, testBase } from './testing/test-log.ts'

const GROUP = 3
const OTHER = 4

let sample: Sample
let segments: readonly string[]
beforeAll(async () => {
  sample = await makeSample()
  segments = sample.clean
    .files()
    .filter(path => path.endsWith('.log'))
    .toSorted()
})

/** How a damaged folder showed itself. */
type Outcome = 'harmless' | 'told'

/** Frames by index, as hexadecimal; `frames[0]` is the first after `from`. */
interface Written {
  readonly from: number
  readonly frames: readonly string[]
}

function sampleFrames(): Written {
  return { from: testBase().index, frames: sample.frames }
}

/**
 * Opens the folder and reads all of a group, entry by entry.
 *
 * @throws what the assertions throw: something wrong was returned, or something is missing that nobody told
 */
async function outcomeOf(disk: FaultDisk, group: number, { from, frames }: Written): Promise<Outcome> {
  let told = 0
  const opened = await openOn(disk, { onProblem: () => void told++ }).catch((error: unknown) => {
    expect(error).toMatchObject({ name: 'LogError' })
    return null
  })
  if (opened === null) return 'told'
  const log = opened.groups().find(each => each.group === group)
  if (log === undefined) {
    expect(opened.refused().map(each => each.group)).toContain(group)
    return 'told'
  }
  const isUncertain = log.recovered.uncertainUntil !== undefined
  let missing = 0
  for (let index = from + 1; index <= from + frames.length; index++) {
    const read = index <= log.base.index || index > log.end.index ? 'no entry' : await readOne(log, index)
    if (read === 'damaged') told++
    else if (read === 'no entry') missing++
    else expect(read, `entry ${index}`).toBe(frames[index - from - 1])
  }
  expect(log.end.index).toBeLessThanOrEqual(from + frames.length)
  if (missing > 0) expect(isUncertain || told > 0, `${missing} entries are missing and nobody says so`).toBe(true)
  return missing > 0 || told > 0 || isUncertain ? 'told' : 'harmless'
}

async function readOne(log: GroupLog, index: number): Promise<string> {
  try {
    const [frame] = await log.read(index, index + 1, 1)
    return hex(frame!.bytes)
  } catch (error) {
    expect(error).toMatchObject({ code: 'DAMAGED' })
    return 'damaged'
  }
}

function replaced(path: string, change: (bytes: Uint8Array) => Uint8Array | null): FaultDisk {
  const disk = sample.clean.clone()
  disk.replace(path, change(Uint8Array.from(disk.contentOf(path))))
  return disk
}

describe('a segment cut at every length', () => {
  test.each([0, 1])('segment %i', async at => {
    const path = segments[at]!
    const { length } = sample.clean.contentOf(path)
    for (let kept = 0; kept < length; kept++) {
      const disk = replaced(path, bytes => bytes.slice(0, kept))
      // Behind the last frame of a round there is padding of zeroes; without some of it no frame is missing.
      const isPadding = sample.clean
        .contentOf(path)
        .subarray(kept)
        .every(byte => byte === 0)
      const outcome = await outcomeOf(disk, GROUP, sampleFrames())
      if (!isPadding) expect(outcome, `${kept} bytes`).toBe('told')
    }
  })
})

test.each(['base', 'votes', 'mark-a', 'mark-b'])('the file %s cut at every length', async name => {
  const path = sample.clean.files().find(each => each.endsWith(`/${name}`))!
  const { length } = sample.clean.contentOf(path)
  for (let kept = 0; kept < length; kept += name === 'votes' ? 61 : 1)
    await outcomeOf(
      replaced(path, bytes => bytes.slice(0, kept)),
      GROUP,
      sampleFrames(),
    )
})

test('a tail of zeroes from any place in any segment is told', async () => {
  for (const path of segments) {
    const { length } = sample.clean.contentOf(path)
    for (let from = 0; from < length; from += 37) {
      const disk = replaced(path, bytes => bytes.fill(0, from))
      const isChanged = hex(disk.contentOf(path)) !== hex(sample.clean.contentOf(path))
      const outcome = await outcomeOf(disk, GROUP, sampleFrames())
      // Behind the last frame of a round there is padding of zeroes.
      expect(outcome, `${path}, zeroes from byte ${from}`).toBe(isChanged ? 'told' : 'harmless')
    }
  }
})

test("two segments in each other's place are told", async () => {
  for (const [at, path] of segments.entries()) {
    const other = segments[(at + 1) % segments.length]!
    const disk = sample.clean.clone()
    disk.replace(path, sample.clean.contentOf(other))
    disk.replace(other, sample.clean.contentOf(path))
    expect(await outcomeOf(disk, GROUP, sampleFrames())).toBe('told')
  }
})

test('a segment that is a copy of another is told', async () => {
  for (const [at, path] of segments.entries()) {
    const other = segments[(at + 1) % segments.length]!
    const outcome = await outcomeOf(
      replaced(path, () => sample.clean.contentOf(other)),
      GROUP,
      sampleFrames(),
    )
    expect(outcome).toBe('told')
  }
})

/** Two groups that are written, stopped, written on and trimmed, and stopped: before and after. */
interface History {
  readonly before: FaultDisk
  readonly after: FaultDisk
  readonly written: ReadonlyMap<number, Written>
}

/** So that the newest segment of before is written on. */
const LARGE_SEGMENTS = { segmentBytesMax: 40_000 }

async function makeHistory(): Promise<History> {
  const disk = new FaultDisk(seededRandom(5))
  const frames = new Map<number, string[]>([
    [GROUP, []],
    [OTHER, []],
  ])
  const sources = new Map<number, TestLog>()
  let store = await openOn(disk, LARGE_SEGMENTS)
  for (const group of frames.keys()) {
    const log = await store.create(group, { replicaId: 10 + group, base: testBase() })
    sources.set(group, new TestLog(group, log.base))
  }
  const append = async (rounds: number, term: number): Promise<void> => {
    for (const log of store.groups()) {
      for (let round = 0; round < rounds; round++) {
        const payload = new Uint8Array(400).fill(16 * log.group + round)
        const added = sources.get(log.group)!.append(2, { payload, term })
        frames.get(log.group)!.push(...added.map(frame => hex(frame.bytes)))
        await written(log, { frames: added, ballot: { term, vote: log.group }, commit: added[0]!.header.index })
      }
    }
  }
  await append(4, 2)
  await store.close()
  const before = disk.clone()
  store = await openOn(disk, LARGE_SEGMENTS)
  await append(4, 6)
  const trimmed = store.groups().find(log => log.group === GROUP)!
  const [third] = await trimmed.read(4, 5, 1)
  await trimmed.trimPrefix({ ...testBase(), ...positionAfter(third!) })
  await store.close()
  const from = testBase().index
  return {
    before,
    after: disk.clone(),
    written: new Map([
      [GROUP, { from: 4, frames: frames.get(GROUP)!.slice(4 - from) }],
      [OTHER, { from, frames: frames.get(OTHER)! }],
    ]),
  }
}

describe('an old copy of a file in the place of the new one', () => {
  let history: History
  beforeAll(async () => {
    history = await makeHistory()
  })

  /** Puts old copies of the files that match in place. @returns how many of them differ */
  function restore(disk: FaultDisk, matches: (path: string) => boolean): number {
    const old = history.before.files().filter(path => matches(path) && disk.files().includes(path))
    const differing = old.filter(path => hex(disk.contentOf(path)) !== hex(history.before.contentOf(path)))
    for (const path of differing) disk.replace(path, history.before.contentOf(path))
    return differing.length
  }

  async function outcomes(disk: FaultDisk): Promise<Outcome[]> {
    const found: Outcome[] = []
    for (const group of [GROUP, OTHER]) found.push(await outcomeOf(disk.clone(), group, history.written.get(group)!))
    return found
  }

  test('without one everything is there', async () => {
    expect(await outcomes(history.after.clone())).toEqual(['harmless', 'harmless'])
  })

  test('the newest segment of that time: what is missing is told', async () => {
    const disk = history.after.clone()
    expect(restore(disk, path => path.startsWith(`log/groups/${OTHER}/`) && path.endsWith('.log'))).toBeGreaterThan(0)
    expect(await outcomes(disk)).toEqual(['harmless', 'told'])
  })

  test('an index file of that time changes nothing', async () => {
    const disk = history.after.clone()
    for (const path of disk.files().filter(each => each.endsWith('.index'))) {
      const old = history.before.files().find(each => each.endsWith('.index'))!
      disk.replace(path, history.before.contentOf(old))
    }
    expect(await outcomes(disk)).toEqual(['harmless', 'harmless'])
  })

  test('the base record from before a trim: nothing wrong is returned', async () => {
    const disk = history.after.clone()
    expect(restore(disk, path => path === `log/groups/${GROUP}/base`)).toBe(1)
    await outcomes(disk)
  })

  test('both copies of the votes: refused, since a vote could be given twice', async () => {
    const disk = history.after.clone()
    expect(restore(disk, path => path === 'log/votes')).toBe(1)
    const store = await openOn(disk)
    expect(store.groups()).toEqual([])
    expect(store.refused().map(({ group, reason }) => [group, reason.code])).toEqual([
      [GROUP, 'REPLICA_LOST'],
      [OTHER, 'REPLICA_LOST'],
    ])
  })

  test.each(['A', 'B'])('only copy %s of the votes: the newer one counts', async copy => {
    const disk = history.after.clone()
    const old = history.before.contentOf('log/votes')
    const bytes = Uint8Array.from(disk.contentOf('log/votes'))
    const start = copy === 'A' ? 0 : 4_096
    bytes.set(old.subarray(start, start + 4_096), start)
    disk.replace('log/votes', bytes)
    const store = await openOn(disk, { onProblem: () => undefined })
    expect(store.groups().map(({ group, recovered }) => [group, recovered.ballot])).toEqual([
      [GROUP, { term: 6, vote: GROUP }],
      [OTHER, { term: 6, vote: OTHER }],
    ])
  })

  test('both marks: a lower bound is only lower, nothing is lost', async () => {
    const disk = history.after.clone()
    expect(restore(disk, path => path.startsWith('log/mark-'))).toBeGreaterThan(0)
    const store = await openOn(disk.clone())
    for (const log of store.groups())
      expect(log.end.index).toBe(history.written.get(log.group)!.from + history.written.get(log.group)!.frames.length)
    await outcomes(disk)
  })

  test('the whole folder of one group: what is missing is told', async () => {
    const disk = history.after.clone()
    for (const path of disk.files().filter(each => each.startsWith(`log/groups/${OTHER}/`))) disk.replace(path, null)
    for (const path of history.before.files().filter(each => each.startsWith(`log/groups/${OTHER}/`)))
      disk.replace(path, history.before.contentOf(path))
    expect(await outcomes(disk)).toEqual(['harmless', 'told'])
  })

  test('files of one group in the folder of another are refused', async () => {
    for (const kind of ['base', '.log']) {
      const disk = history.after.clone()
      const paths = disk.files().filter(each => each.startsWith(`log/groups/${OTHER}/`) && each.endsWith(kind))
      const strangers = disk.files().filter(each => each.startsWith(`log/groups/${GROUP}/`) && each.endsWith(kind))
      for (const [at, path] of paths.entries()) {
        const stranger = strangers[Math.min(at, strangers.length - 1)]!
        disk.replace(path, history.after.contentOf(stranger))
      }
      expect(await outcomes(disk)).toEqual(['harmless', 'told'])
    }
  })
})
