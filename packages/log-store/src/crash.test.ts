/**
 * Stops the process at every single operation on the disk of a recorded workload, by power loss and by a kill followed by
 * power loss, and compares what recovery finds with what was acknowledged.
 */
import { FrameKind } from '@millrace/record'
import { describe, expect, test } from 'vitest'
import { positionAfter } from './frame-sequence.ts'
import type { GroupLog, LogStore } from './log-store.ts'
import { FaultDisk, ManualClock, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUP = 3

/** What a log is after one operation, as text. */
interface ModelState {
  readonly exists: boolean
  readonly base: number
  readonly frames: readonly string[]
}

/** The states that the log went through, the ballots, and how far both are promised. */
class Model {
  readonly states: ModelState[] = [{ exists: false, base: 0, frames: [] }]
  readonly ballots: string[] = ['0/0']
  acknowledged = 0
  acknowledgedBallot = 0
  source = new TestLog(GROUP, testBase())

  get newest(): ModelState {
    return this.states.at(-1)!
  }

  /** Records an operation that is about to be submitted; the result says that it was acknowledged. */
  submit(state: ModelState, ballot?: { term: number; vote: number }): () => void {
    const place = this.states.push(state) - 1
    const ballotPlace =
      ballot === undefined ? this.ballots.length - 1 : this.ballots.push(`${ballot.term}/${ballot.vote}`) - 1
    return () => {
      this.acknowledged = Math.max(this.acknowledged, place)
      this.acknowledgedBallot = Math.max(this.acknowledgedBallot, ballotPlace)
    }
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** One operation; a restart answers with the log as it is then. */
type Step = (log: GroupLog, model: Model) => Promise<unknown>

function append(count: number, payloadBytes: number, ballot?: { term: number; vote: number }): Step {
  return (log, model) => {
    const payload = new Uint8Array(payloadBytes).fill(model.states.length)
    const term = ballot?.term
    const frames = model.source.append(count, term === undefined ? { payload } : { payload, term })
    const newest = model.newest
    const acknowledge = model.submit(
      { ...newest, frames: [...newest.frames, ...frames.map(frame => hex(frame.bytes))] },
      ballot,
    )
    return written(log, { frames, commit: log.base.index, ...(ballot === undefined ? {} : { ballot }) }).then(
      acknowledge,
    )
  }
}

const configure: Step = (log, model) => {
  const frame = model.source.next({ kind: FrameKind.configuration })
  const acknowledge = model.submit({ ...model.newest, frames: [...model.newest.frames, hex(frame.bytes)] })
  return written(log, { frames: [frame] }).then(acknowledge)
}

/** Replaces the last `dropped` entries by one. */
function replace(dropped: number): Step {
  return async (log, model) => {
    const kept = log.end.index - dropped
    const at = kept === log.base.index ? log.base : positionAfter((await log.read(kept, kept + 1, 1))[0]!)
    model.source.truncateTo(at)
    const frame = model.source.next({ term: at.term + 1 })
    const frames = [...model.newest.frames.slice(0, kept - log.base.index), hex(frame.bytes)]
    const acknowledge = model.submit({ ...model.newest, frames })
    await written(log, { frames: [frame] }).then(acknowledge)
  }
}

function vote(term: number): Step {
  return (log, model) => {
    const ballot = { term, vote: term + 100 }
    const acknowledge = model.submit(model.newest, ballot)
    return written(log, { ballot }).then(acknowledge)
  }
}

function trim(count: number): Step {
  return async (log, model) => {
    const index = log.base.index + count
    const at = positionAfter((await log.read(index, index + 1, 1))[0]!)
    const acknowledge = model.submit({ ...model.newest, base: index, frames: model.newest.frames.slice(count) })
    await log.trimPrefix({ ...log.base, ...at }).then(acknowledge)
  }
}

function reset(distance: number): Step {
  return (log, model) => {
    const base = testBase({ index: log.end.index + distance, chain: 4_711, term: log.end.term, nextOffset: 9 })
    model.source.truncateTo(base)
    const acknowledge = model.submit({ exists: true, base: base.index, frames: [] })
    return log.reset(base).then(acknowledge)
  }
}

/** A stop in order and a new start. */
const RESTART = 'restart'

/** Several at once: they share a round, or not. */
function together(...steps: readonly Step[]): Step {
  return (log, model) => Promise.all(steps.map(step => step(log, model)))
}

const WORKLOADS: Readonly<Record<string, readonly (Step | typeof RESTART)[]>> = {
  append: [append(1, 10), append(2, 600), together(append(1, 10), append(3, 300), append(1, 2_000)), append(1, 10)],
  roll: [append(2, 1_000), configure, append(1, 1_500), append(2, 1_000), append(1, 2_500), append(1, 1), append(1, 1)],
  truncate: [
    append(3, 200),
    replace(1),
    append(2, 900),
    append(1, 1_200),
    replace(3),
    append(1, 10),
    replace(4),
    append(1, 9),
  ],
  vote: [
    vote(1),
    append(1, 10, { term: 2, vote: 0 }),
    together(append(1, 10), vote(3)),
    vote(4),
    append(1, 700, { term: 5, vote: 1 }),
  ],
  trim: [
    append(3, 900),
    append(2, 900),
    append(1, 900),
    trim(3),
    append(1, 900),
    trim(4),
    append(1, 10),
    append(1, 2_000),
  ],
  reset: [append(3, 900), reset(50), append(2, 900), append(2, 900), reset(0), append(1, 10), reset(50)],
  'reset below the end': [append(3, 900), append(3, 10), reset(-1), append(1, 9), append(2, 900), reset(-3), reset(-1)],
  restart: [
    vote(1),
    append(1, 10),
    RESTART,
    vote(2),
    vote(3),
    RESTART,
    append(1, 900),
    RESTART,
    append(2, 900),
    vote(4),
    RESTART,
  ],
}

async function runWorkload(disk: FaultDisk, steps: readonly (Step | typeof RESTART)[], model: Model): Promise<void> {
  const clock = new ManualClock()
  let store = await openOn(disk, { clock })
  const created = model.submit({ exists: true, base: 1, frames: [] })
  let log = await store.create(GROUP, { replicaId: 9, base: testBase() })
  created()
  for (const [at, step] of steps.entries()) {
    if (step === RESTART) {
      await store.close()
      store = await openOn(disk, { clock })
      log = store.groups()[0]!
    } else {
      await step(log, model)
    }
    if (at % 2 === 1) clock.advance(1_000)
  }
  await store.close()
}

/** Runs until the workload is over or the process stops. */
async function runUntilStop(disk: FaultDisk, steps: readonly (Step | typeof RESTART)[], model: Model): Promise<void> {
  let over = false
  void runWorkload(disk, steps, model).then(() => {
    over = true
  })
  while (!over && !disk.stopped) await new Promise<void>(resolve => setImmediate(resolve))
}

async function stateOf(store: LogStore): Promise<ModelState> {
  expect(store.refused()).toEqual([])
  const [log] = store.groups()
  if (log === undefined) return { exists: false, base: 0, frames: [] }
  return { exists: true, base: log.base.index, frames: (await readAll(log, 1_500)).map(hex) }
}

function ballotOf(store: LogStore): string {
  const ballot = store.groups()[0]?.recovered.ballot ?? { term: 0, vote: 0 }
  return `${ballot.term}/${ballot.vote}`
}

/** What was found must be one of the states from the last acknowledged one on, and a ballot likewise. */
function assertPromised(found: ModelState, ballot: string, model: Model): void {
  expect(model.states.slice(model.acknowledged)).toContainEqual(found)
  expect(model.ballots.slice(model.acknowledgedBallot)).toContain(ballot)
}

interface Exploration {
  readonly seed: number
  readonly crash: (disk: FaultDisk) => FaultDisk
  readonly faults?: FaultDisk['faults']
}

function newDisk(seed: number, faults: FaultDisk['faults']): FaultDisk {
  const disk = new FaultDisk(seededRandom(seed))
  Object.assign(disk.faults, faults)
  return disk
}

async function explore(name: string, { seed, crash, faults = {} }: Exploration): Promise<number> {
  const steps = WORKLOADS[name]!
  const whole = newDisk(seed, faults)
  await runUntilStop(whole, steps, new Model())
  for (let at = 1; at <= whole.operations; at++) {
    const disk = newDisk(seed * 1_000 + at, { ...faults, crashAt: at })
    const model = new Model()
    await runUntilStop(disk, steps, model)
    const after = crash(disk)
    const store = await openOn(after)
    const found = await stateOf(store)
    assertPromised(found, ballotOf(store), model)
    // What was handed out may have been acted upon: it must survive the next power loss, with what is written now.
    const log = store.groups()[0] ?? (await store.create(GROUP, { replicaId: 9, base: testBase() }))
    const [frame] = new TestLog(GROUP, log.end).append(1)
    const extended = { exists: true, base: log.base.index, frames: [...found.frames, hex(frame!.bytes)] }
    if (at % 2 === 0) await written(log, { frames: [frame!] })
    const again = await openOn(after.losePower())
    expect(await stateOf(again)).toEqual(at % 2 === 0 ? extended : { ...found, exists: true, base: log.base.index })
    expect(ballotOf(again)).toBe(ballotOf(store))
  }
  return whole.operations
}

describe.each(Object.keys(WORKLOADS))('stopped at every operation: %s', name => {
  test.each([1, 2])('power loss, seed %i', async seed => {
    expect(await explore(name, { seed, crash: disk => disk.losePower() })).toBeGreaterThan(20)
  })

  test.each([3, 4])('kill, then power loss, seed %i', async seed => {
    expect(await explore(name, { seed, crash: disk => disk.kill() })).toBeGreaterThan(20)
  })

  test.each([5, 6])('a disk that garbles what is written over, seed %i', async seed => {
    const faults = { garblesOverwrites: true }
    expect(await explore(name, { seed, crash: disk => disk.losePower(), faults })).toBeGreaterThan(20)
  })

  test.each([7, 8])('a disk whose operations overtake each other, seed %i', async seed => {
    const faults = { garblesOverwrites: true, isSlow: true }
    expect(await explore(name, { seed, crash: disk => disk.losePower(), faults })).toBeGreaterThan(20)
  })
})
