/** The frame of the tour's own processes: on the lifeline from the first moment, and failing with one line. */
import { describeError } from '../cli-error.ts'
import { LIFELINE_FD, watchLifeline } from '../process/lifeline.ts'
import type { TourJob } from './tour-messages.ts'

/** Runs the job that this process was started with, then ends its connection to the tour. */
export async function runTourWorker(work: (job: TourJob) => Promise<void>): Promise<void> {
  watchLifeline(LIFELINE_FD)
  try {
    await work(JSON.parse(process.argv[2] ?? '{}') as TourJob)
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`)
    process.exitCode = 1
  }
  process.disconnect()
}
