/** Every crash point of the recorded workloads, with many seeds, on two threads; and damage to what they leave. */
import { Worker } from 'node:worker_threads'
import type { ExplorerReport, ExplorerTask } from './explorer.ts'
import { failed, type Part, passed } from './verdict.ts'

const SOURCES: string = new URL('../../packages/log-store/src', import.meta.url).pathname
const STATES_MIN = 20_000
const THREADS = 2
const TIMEOUT_MS = 600_000

/** The checkout's own sources must keep every promise in at least 20,000 crash states. */
export function explorationPart(seedsPerThread: number): Part {
  return {
    name: 'crash at every operation of recorded workloads',
    async run() {
      const tasks = Array.from({ length: THREADS }, (_, thread) => ({
        sources: SOURCES,
        seeds: Array.from({ length: seedsPerThread }, (_unused, at) => 1_000 + thread * 100_000 + at),
        damagesPerSeed: 500,
      }))
      const reports = await Promise.all(tasks.map(exploreInThread))
      const states = reports.reduce((sum, report) => sum + report.crashStates, 0)
      const damaged = reports.reduce((sum, report) => sum + report.damagedDisks, 0)
      const violations = reports.flatMap(report => report.violation ?? [])
      const counts = `${states} crash states visited, ${damaged} damaged disks opened, ${violations.length} violations`
      if (violations.length > 0) return failed(`${counts}\n${violations.join('\n')}`)
      return states < STATES_MIN ? failed(`${counts}; at least ${STATES_MIN} states are asked for`) : passed(counts)
    },
  }
}

/** @throws what broke the thread, or when it takes too long */
export function exploreInThread(task: ExplorerTask): Promise<ExplorerReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./explorer.ts', import.meta.url), { workerData: task })
    const timer = setTimeout(() => {
      reject(new Error(`an exploration took longer than ${TIMEOUT_MS / 1_000} s`))
      void worker.terminate()
    }, TIMEOUT_MS)
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', () => {
      clearTimeout(timer)
      reject(new Error('an exploration ended without a report'))
    })
  })
}
