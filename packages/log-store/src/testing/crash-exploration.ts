/**
 * Stops the process at every single operation on the disk of a recorded workload, by power loss, by a kill followed by
 * power loss, and again while it recovers; and compares what recovery finds with what was acknowledged.
 */
import type { LogStore } from '../log-store.ts'
import { CRASH_GROUP, CrashModel, CrashViolation, describe, isSame, type ModelState, NO_LOG } from './crash-model.ts'
import { type CrashOptions, crashOptions, runUntilStop, type WorkloadName } from './crash-workloads.ts'
import { FaultDisk, type FaultDiskFaults, type Random, seededRandom } from './fault-disk.ts'
import { readAll, written } from './log-store-contract.ts'
import { openOn } from './store-on.ts'
import { TestLog, testBase } from './test-log.ts'

/** Given to a replica that is made after a crash; no workload uses it. */
const LATER_REPLICA = 77

/** How the process stops, and what the disk is like. */
export interface CrashMode {
  readonly name: string
  readonly stop: 'powerLoss' | 'kill'
  /** Stops it once more, at some operation of the recovery. */
  readonly againInRecovery?: boolean
  readonly faults?: FaultDiskFaults
}

export const CRASH_MODES: readonly CrashMode[] = [
  { name: 'power loss', stop: 'powerLoss' },
  { name: 'kill, then power loss', stop: 'kill' },
  { name: 'a disk that garbles what is written over', stop: 'powerLoss', faults: { garblesOverwrites: true } },
  {
    name: 'a disk whose operations overtake each other',
    stop: 'powerLoss',
    faults: { garblesOverwrites: true, isSlow: true },
  },
  { name: 'power loss, and again in recovery', stop: 'powerLoss', againInRecovery: true },
  { name: 'kill, and again in recovery', stop: 'kill', againInRecovery: true, faults: { garblesOverwrites: true } },
]

/**
 * Visits one crash state per operation of the workload.
 *
 * @returns how many crash states were visited
 * @throws CrashViolation naming the first that breaks a promise
 */
export async function exploreCrashes(workload: WorkloadName, mode: CrashMode, seed: number): Promise<number> {
  const whole = newDisk(seed, mode.faults)
  await runUntilStop(whole, workload, new CrashModel(), crashOptions(seed))
  for (let at = 1; at <= whole.operations; at++) {
    try {
      await visit(workload, mode, seed, at)
    } catch (error) {
      if (!(error instanceof CrashViolation)) throw error
      const where = `${workload}, ${mode.name}, seed ${seed}, stopped at operation ${at} of ${whole.operations}`
      throw new CrashViolation(`${where}: ${error.message}`)
    }
  }
  return whole.operations
}

async function visit(workload: WorkloadName, mode: CrashMode, seed: number, at: number): Promise<void> {
  const disk = newDisk(seed * 1_000 + at, { ...mode.faults, crashAt: at })
  const model = new CrashModel()
  const options = crashOptions(seed)
  await runUntilStop(disk, workload, model, options)
  const crash = (stopped: FaultDisk): FaultDisk => (mode.stop === 'kill' ? stopped.kill() : stopped.losePower())
  let after = crash(disk)
  if (mode.againInRecovery === true)
    after = crash(await stopInRecovery(after, options, seededRandom(seed * 7_000 + at)))
  const store = await openOn(after, options)
  const found = await stateOf(store)
  const ballot = ballotOf(store)
  model.assertPromised(found, ballot)
  // What was handed out may have been acted upon: it must survive the next power loss, with what is written now.
  const log = store.groups()[0] ?? (await store.create(CRASH_GROUP, { replicaId: LATER_REPLICA, base: testBase() }))
  const appends = at % 2 === 0
  const frames = new TestLog(CRASH_GROUP, log.end).append(appends ? 1 : 0)
  if (appends) await written(log, { frames })
  const added = frames.map(frame => Buffer.from(frame.bytes).toString('hex'))
  const expected = { exists: true, base: log.base.index, frames: [...found.frames, ...added] }
  const again = await openOn(after.losePower(), options)
  assertKept(await stateOf(again), ballotOf(again), expected, ballot)
}

/** Starts a recovery and stops it half-way. */
async function stopInRecovery(disk: FaultDisk, options: CrashOptions, random: Random): Promise<FaultDisk> {
  disk.faults.crashAt = 1 + Math.floor(random() * 12)
  const opened = openOn(disk, options)
  let over = false
  void opened.then(() => {
    over = true
  })
  while (!over && !disk.stopped) await new Promise<void>(resolve => setImmediate(resolve))
  return disk
}

function newDisk(seed: number, faults: FaultDiskFaults = {}): FaultDisk {
  const disk = new FaultDisk(seededRandom(seed))
  Object.assign(disk.faults, faults)
  return disk
}

async function stateOf(store: LogStore): Promise<ModelState> {
  const [refused] = store.refused()
  if (refused !== undefined) throw new CrashViolation(`a crash was taken for damage: ${refused.reason.message}`)
  const [log] = store.groups()
  if (log === undefined) return NO_LOG
  const [hole] = log.holes
  if (hole !== undefined) throw new CrashViolation(`a crash was taken for damage after entry ${hole.before.index}`)
  const frames = (await readAll(log, 1_500)).map(bytes => Buffer.from(bytes).toString('hex'))
  return { exists: true, base: log.base.index, frames }
}

function ballotOf(store: LogStore): string {
  const ballot = store.groups()[0]?.recovered.ballot ?? { term: 0, vote: 0 }
  return `${ballot.term}/${ballot.vote}`
}

function assertKept(found: ModelState, ballot: string, expected: ModelState, expectedBallot: string): void {
  if (!isSame(found, expected)) {
    throw new CrashViolation(
      `handed out was ${describe(expected)}; after the next power loss there is ${describe(found)}`,
    )
  }
  if (ballot !== expectedBallot) {
    throw new CrashViolation(
      `handed out was ballot ${expectedBallot}; after the next power loss there is ballot ${ballot}`,
    )
  }
}
