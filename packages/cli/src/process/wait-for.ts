/** Waiting for something that only asking again can tell. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CliError } from '../cli-error.ts'

export interface WaitOptions {
  /** What is waited for, as the end of the sentence "timed out waiting for …". */
  readonly what: string
  readonly timeoutMs: number
  readonly everyMs?: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Asks until the answer is neither undefined nor false, and returns it. An answer that throws counts as not yet.
 *
 * @throws CliError when the time is over, with the last failure; AbortError when `signal` aborts.
 */
export async function waitFor<T>(
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  options: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs
  let lastError: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== false) return answer
    } catch (error) {
      lastError = error
    }
    options.signal?.throwIfAborted()
    if (performance.now() >= deadline) break
    await sleep(options.everyMs ?? 50, undefined, { signal: options.signal })
  }
  const seconds = Math.round(options.timeoutMs / 1000)
  const reason = lastError instanceof Error ? `: ${lastError.message}` : ''
  throw new CliError(`timed out after ${seconds} s waiting for ${options.what}${reason}`, undefined, {
    cause: lastError,
  })
}
