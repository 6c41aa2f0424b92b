/** Waiting with an end: every wait of the broker has a limit in time, a signal, or both. */
import type { Clock } from '@millrace/raft-node'

/** Resolves after `ms`, or at once when the signal fires; leaves no listener behind. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve()
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal?.addEventListener('abort', end, { once: true })
  })
}

/** Whether the promise fulfilled within `ms`. A rejection counts as no; what the promise does later is not looked at. */
export function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve(false), ms)
    const end = (fulfilled: boolean) => {
      clearTimeout(timer)
      resolve(fulfilled)
    }
    promise.then(
      () => end(true),
      () => end(false),
    )
  })
}

/** Timers and the clocks of this process, for layers that take them by injection. */
export const processClock: Pick<Clock, 'setTimer' | 'monotonicMs' | 'wallMs'> = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer: (delayMs, run) => {
    const timer = setTimeout(run, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}
