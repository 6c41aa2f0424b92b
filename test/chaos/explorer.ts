/** A thread that explores crashes or damage with the sources of one folder: the checkout's, or a copy with a defect. */
import { pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import type * as crashes from '../../packages/log-store/src/testing/crash-exploration.ts'
import type * as workloads from '../../packages/log-store/src/testing/crash-workloads.ts'
import type * as damage from '../../packages/log-store/src/testing/damage-exploration.ts'

export interface ExplorerTask {
  /** Folder of the sources of log-store. */
  readonly sources: string
  readonly seeds: readonly number[]
  /** Damaged disks to open per seed. */
  readonly damagesPerSeed: number
}

export interface ExplorerReport {
  readonly crashStates: number
  readonly damagedDisks: number
  /** The first broken promise; the exploration ends with it. */
  readonly violation: string | undefined
}

const task = workerData as ExplorerTask

async function load<T>(module: string): Promise<T> {
  return (await import(pathToFileURL(`${task.sources}/testing/${module}`).href)) as T
}

async function explore(): Promise<ExplorerReport> {
  const { CRASH_MODES, exploreCrashes } = await load<typeof crashes>('crash-exploration.ts')
  const { WORKLOAD_NAMES } = await load<typeof workloads>('crash-workloads.ts')
  const { exploreDamage } = await load<typeof damage>('damage-exploration.ts')
  let crashStates = 0
  let damagedDisks = 0
  try {
    for (const seed of task.seeds) {
      for (const workload of WORKLOAD_NAMES)
        for (const mode of CRASH_MODES) crashStates += await exploreCrashes(workload, mode, seed)
      damagedDisks += (await exploreDamage(seed, task.damagesPerSeed)).disks
    }
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'CrashViolation') throw error
    return { crashStates, damagedDisks, violation: error.message }
  }
  return { crashStates, damagedDisks, violation: undefined }
}

parentPort?.postMessage(await explore())
