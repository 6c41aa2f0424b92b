/** Waiting for a condition in tests: on what must become true, never for a time. */

const LIMIT_MS = 20_000

/** Resolves when `condition` holds; fails naming `what` when it never does. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + LIMIT_MS
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}
