/** A thread that runs seeds: each twice, and once more and smaller where one fails. */
import { parentPort, workerData } from 'node:worker_threads'
import type { RunResult, Schedule } from '../../packages/testkit/src/simulation/index.ts'
import { load, type Sources } from './sources.ts'

export interface SeedTask {
  readonly schedule: Schedule
  /** Run it a second time and compare. */
  readonly twice: boolean
  /** Look for a smaller schedule if it fails. */
  readonly shrink: boolean
}

export interface SeedReport {
  readonly result: RunResult
  /** The hash of the second run. */
  readonly secondHash: string | undefined
  /** The smallest schedule that fails in the same way, with its own newest events. */
  readonly smallest: RunResult | undefined
}

const simulation = await load(workerData as Sources)

function run(schedule: Schedule): Promise<RunResult> {
  return simulation.withoutAmbience(() => simulation.simulate(schedule))
}

parentPort?.on('message', async (task: SeedTask) => {
  const result = await run(task.schedule)
  const secondHash = task.twice ? (await run(task.schedule)).hash : undefined
  const smallest = task.shrink && result.failure !== undefined ? await simulation.shrink(result, run) : undefined
  const report: SeedReport = { result, secondHash, smallest }
  parentPort?.postMessage(report)
})
