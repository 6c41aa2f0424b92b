/** Ctrl-C and SIGTERM as an AbortSignal. A second one ends the process at once. */
import { EXIT } from '../exit-code.ts'

export interface StopSignal {
  /** Aborts at the first signal; its reason is the signal's name. */
  readonly signal: AbortSignal
  /** Gives the signals back their usual meaning. */
  [Symbol.dispose](): void
}

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/**
 * @param onSecond what a second signal does. Default: ends the process
 */
export function stopSignal(onSecond: () => void = () => process.exit(EXIT.interrupted)): StopSignal {
  const controller = new AbortController()
  const handle = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) onSecond()
    else controller.abort(name)
  }
  for (const name of SIGNALS) process.on(name, handle)
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, handle)
    },
  }
}
