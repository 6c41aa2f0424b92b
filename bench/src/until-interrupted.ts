/** Runs that take minutes and leave folders behind unless they end in order. */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const EXIT_INTERRUPTED = 130

/** Runs a benchmark with a signal that aborts when somebody ends it: that is no failure of the benchmark. */
export async function untilInterrupted(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController()
  const onSignal = (): void => stop.abort(new Error('interrupted'))
  for (const name of SIGNALS) process.on(name, onSignal)
  try {
    await run(stop.signal)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    process.stderr.write('interrupted; everything that was started has ended\n')
    process.exitCode = EXIT_INTERRUPTED
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal)
  }
}
