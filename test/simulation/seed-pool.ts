/** Runs seeds on a few threads, each thread one seed at a time. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { SeedReport, SeedTask } from './seed-worker.ts'
import type { Sources } from './sources.ts'

export class SeedPool {
  readonly #workers: Worker[]

  constructor(sources: Sources) {
    this.#workers = Array.from(
      { length: Math.max(1, availableParallelism()) },
      () => new Worker(new URL('./seed-worker.ts', import.meta.url), { workerData: sources }),
    )
  }

  /**
   * Runs tasks in turn until there are none, or `heard` says that it has heard enough: then at once, without waiting for what
   * still runs. A seed with a defect may go on for minutes.
   *
   * @param next the next task; undefined when there is none
   * @param heard is told of each; false: enough
   */
  async run(next: () => SeedTask | undefined, heard: (report: SeedReport) => boolean): Promise<void> {
    let enough = false
    const over = Promise.withResolvers<void>()
    const drain = async (worker: Worker): Promise<void> => {
      for (let task = next(); task !== undefined && !enough; task = next()) {
        const report = await ask(worker, task)
        if (!enough && !heard(report)) {
          enough = true
          over.resolve()
        }
      }
    }
    await Promise.race([Promise.all(this.#workers.map(drain)), over.promise])
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(worker => worker.terminate()))
  }
}

function ask(worker: Worker, task: SeedTask): Promise<SeedReport> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      worker.off('message', onMessage)
      worker.off('error', onError)
      finish()
    }
    const onMessage = (report: SeedReport) => settle(() => resolve(report))
    const onError = (error: Error) => settle(() => reject(error))
    worker.on('message', onMessage)
    worker.on('error', onError)
    worker.postMessage(task)
  })
}
