/**
 * Recorded workloads, to be stopped at every operation on the disk: each a list of steps that says, before it asks for
 * anything, what the log becomes by it.
 */
import { FrameKind } from '@millrace/record'
import { positionAfter } from '../frame-sequence.ts'
import type { GroupLog, LogStore } from '../log-store.ts'
import type { SegmentedLogStoreOptions } from '../segmented-log-store.ts'
import { CRASH_GROUP, type CrashModel, NO_LOG } from './crash-model.ts'
import type { FaultDisk } from './fault-disk.ts'
import { written } from './log-store-contract.ts'
import { ManualClock } from './manual-clock.ts'
import { openOn } from './store-on.ts'
import { TestLog, testBase } from './test-log.ts'

const REPLICA = 9

/** How every process of an exploration opens the store. */
export type CrashOptions = Pick<SegmentedLogStoreOptions, 'recoveryScanBytesMin' | 'segmentBytesMax' | 'trashKeepMs'>

/**
 * By the seed: recoveries read whole segments or as little as they may; segments are small, or prepare space for many
 * rounds; what was trimmed is soon written over, or stays.
 */
export function crashOptions(seed: number): CrashOptions {
  return {
    recoveryScanBytesMin: seed % 2 === 0 ? 0 : 1 << 20,
    segmentBytesMax: seed % 4 < 2 ? 3_000 : 20_000,
    trashKeepMs: seed % 3 === 2 ? 600_000 : 1,
  }
}

/** The process that a workload runs in. */
interface Running {
  store: LogStore
  log: GroupLog
  readonly disk: FaultDisk
  readonly clock: ManualClock
  readonly options: CrashOptions
  readonly model: CrashModel
}

type Step = (running: Running) => Promise<unknown>

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function append(count: number, payloadBytes: number, ballot?: { term: number; vote: number }): Step {
  return ({ log, model }) => {
    const payload = new Uint8Array(payloadBytes).fill(model.states.length)
    const term = ballot?.term
    const frames = model.source.append(count, term === undefined ? { payload } : { payload, term })
    const newest = model.newest
    const state = { ...newest, frames: [...newest.frames, ...frames.map(frame => hex(frame.bytes))] }
    const acknowledge = model.submit(state, ballot)
    const write = { frames, commit: log.base.index, ...(ballot === undefined ? {} : { ballot }) }
    return written(log, write).then(acknowledge)
  }
}

const configure: Step = ({ log, model }) => {
  const frame = model.source.next({ kind: FrameKind.configuration })
  const acknowledge = model.submit({ ...model.newest, frames: [...model.newest.frames, hex(frame.bytes)] })
  return written(log, { frames: [frame] }).then(acknowledge)
}

/** Replaces the last `dropped` entries by one. */
function replace(dropped: number): Step {
  return async ({ log, model }) => {
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
  return ({ log, model }) => {
    const ballot = { term, vote: term + 100 }
    const acknowledge = model.submit(model.newest, ballot)
    return written(log, { ballot }).then(acknowledge)
  }
}

function trim(count: number): Step {
  return async ({ log, model }) => {
    const index = log.base.index + count
    const at = positionAfter((await log.read(index, index + 1, 1))[0]!)
    const acknowledge = model.submit({ ...model.newest, base: index, frames: model.newest.frames.slice(count) })
    await log.trimPrefix({ ...log.base, ...at }).then(acknowledge)
  }
}

function reset(distance: number): Step {
  return ({ log, model }) => {
    const base = testBase({ index: log.end.index + distance, chain: 4_711, term: log.end.term, nextOffset: 9 })
    model.source.truncateTo(base)
    const acknowledge = model.submit({ exists: true, base: base.index, frames: [] })
    return log.reset(base).then(acknowledge)
  }
}

/** Makes the group's replica; its log starts empty. */
function birth(replicaId: number): Step {
  return async running => {
    const { model, store } = running
    const base = testBase()
    model.source = new TestLog(CRASH_GROUP, base)
    const acknowledge = model.submit({ exists: true, base: base.index, frames: [] })
    running.log = await store.create(CRASH_GROUP, { replicaId, base })
    acknowledge()
  }
}

const drop: Step = ({ store, model }) => {
  const acknowledge = model.submit(NO_LOG, { term: 0, vote: 0 })
  return store.drop(CRASH_GROUP).then(acknowledge)
}

/** A stop in order and a new start. */
const restart: Step = async running => {
  const { disk, clock, options } = running
  await running.store.close()
  running.store = await openOn(disk, { ...options, clock })
  running.log = running.store.groups()[0]!
}

/** One write after the other. */
function each(writes: number, payloadBytes: number): Step {
  const step = append(1, payloadBytes)
  return async running => {
    for (let write = 0; write < writes; write++) await step(running)
  }
}

/** Several at once: they share a round, or not. */
function together(...steps: readonly Step[]): Step {
  return running => Promise.all(steps.map(step => step(running)))
}

export type WorkloadName =
  | 'append'
  | 'roll'
  | 'truncate'
  | 'vote'
  | 'birth'
  | 'trim'
  | 'reset'
  | 'reset below the end'
  | 'restart'
  | 'recycle'

const WORKLOADS: Readonly<Record<WorkloadName, readonly Step[]>> = {
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
  birth: [append(1, 10), vote(3), drop, birth(REPLICA + 1), append(2, 600), drop, birth(REPLICA + 2), vote(1)],
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
    restart,
    vote(2),
    vote(3),
    restart,
    append(1, 900),
    restart,
    append(2, 900),
    vote(4),
  ],
  // Rounds of the old file would be found behind those of the new one, at their own places, if they were believed.
  recycle: [
    each(9, 2_500),
    append(2, 11_000),
    trim(9),
    append(1, 10),
    append(2, 11_000),
    append(1, 10),
    trim(4),
    append(3, 4_000),
    restart,
    append(1, 600),
    each(5, 5_000),
    append(1, 600),
    replace(2),
    append(1, 600),
  ],
}

export const WORKLOAD_NAMES: readonly WorkloadName[] = Object.keys(WORKLOADS) as WorkloadName[]

async function runWorkload(
  disk: FaultDisk,
  steps: readonly Step[],
  model: CrashModel,
  options: CrashOptions,
): Promise<void> {
  const clock = new ManualClock()
  const store = await openOn(disk, { ...options, clock })
  const acknowledge = model.submit({ exists: true, base: testBase().index, frames: [] })
  const log = await store.create(CRASH_GROUP, { replicaId: REPLICA, base: testBase() })
  acknowledge()
  const running: Running = { store, log, disk, clock, options, model }
  for (const [at, step] of steps.entries()) {
    await step(running)
    // Every second step the mark is written.
    if (at % 2 === 1) clock.advance(1_000)
  }
  await running.store.close()
}

/** Runs a workload until it is over or the process stops. */
export async function runUntilStop(
  disk: FaultDisk,
  name: WorkloadName,
  model: CrashModel,
  options: CrashOptions,
): Promise<void> {
  let over = false
  let failure: unknown
  runWorkload(disk, WORKLOADS[name], model, options).then(
    () => {
      over = true
    },
    (error: unknown) => {
      failure = error ?? new Error('a workload failed')
    },
  )
  while (!over && !disk.stopped && failure === undefined) await new Promise<void>(resolve => setImmediate(resolve))
  if (failure !== undefined) throw failure
}
