/**
 * Runs a simulation's events one macrotask each, so that between two events every promise has led to all that it leads
 * to. Several are ordered ahead: the event loop then does not ask the system for news between them.
 */

const AHEAD = 64
/** Taken before a run seals it. */
const { setImmediate } = globalThis

/**
 * Calls `step` until it returns false; rejects with what it throws.
 *
 * @param step one event
 */
export function inMacrotasks(step: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let ordered = 0
    let isOver = false
    const run = (): void => {
      ordered--
      if (isOver) return
      try {
        if (!step()) end(resolve)
      } catch (error) {
        end(() => reject(error))
      }
      if (ordered === 0 && !isOver) order()
    }
    const end = (settle: () => void): void => {
      isOver = true
      settle()
    }
    const order = (): void => {
      for (; ordered < AHEAD; ordered++) setImmediate(run)
    }
    order()
  })
}
