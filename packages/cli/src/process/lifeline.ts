/**
 * The tie between a process and the one that started it: a pipe that nobody writes to. However the parent ends, SIGKILL
 * included, the kernel closes its end, and the child stops. The child watches from a thread of its own, so that a busy
 * event loop cannot make it outlive its parent: it is asked to stop by SIGTERM and killed when it does not.
 *
 * Process ids are not used for this: they are reused, and the parent of an orphan differs between systems.
 */
import { Worker } from 'node:worker_threads'
import { moduleUrl } from './entry-point.ts'

/** File descriptor of the pipe in children that are started with one. */
export const LIFELINE_FD = 3

/** Time from the parent's end to SIGKILL, for a child that does not stop by itself. */
export const LIFELINE_GRACE_MS = 3000

/** What the watching thread is told. */
export interface LifelineOptions {
  readonly fd: number
  readonly graceMs: number
}

/**
 * Ties this process to the holder of the other end of `fd`. Does not keep the process alive.
 *
 * @throws if `fd` is not a pipe or socket: as an uncaught exception, since a child that cannot watch must not run.
 */
export function watchLifeline(fd: number, graceMs: number = LIFELINE_GRACE_MS): void {
  const workerData: LifelineOptions = { fd, graceMs }
  const worker = new Worker(moduleUrl('process/lifeline-thread'), { workerData, name: 'lifeline' })
  worker.on('error', error => {
    throw error
  })
  worker.unref()
}
