/**
 * Sends at a fixed rate, whatever becomes of what was sent before. A record has a time at which it is due, and its latency
 * counts from there: while the system or this process stalls, records become due all the same, and each of them waits.
 * Counting from the moment of sending would see the stall once and leave out all that should have been sent meanwhile.
 */

export interface Pace {
  readonly ratePerSecond: number
  readonly records: number
}

/** Milliseconds from any origin, and a way to wait. */
export interface Clock {
  now(): number
  sleep(ms: number): Promise<unknown>
}

/** How long to wait when nothing is due: well below what is measured, and no busy loop. */
const TICK_MS = 1

/**
 * Calls `send` once for each record, not before it is due, and returns when all are sent.
 *
 * @param send takes the number of the record, from 0, and when it was due; must not wait for the result
 */
export async function openLoop(
  { ratePerSecond, records }: Pace,
  clock: Clock,
  send: (record: number, dueMs: number) => void,
): Promise<void> {
  const startedMs = clock.now()
  const dueMs = (record: number): number => startedMs + (record * 1_000) / ratePerSecond
  for (let sent = 0; sent < records; ) {
    while (sent < records && dueMs(sent) <= clock.now()) {
      send(sent, dueMs(sent))
      sent++
    }
    if (sent < records) await clock.sleep(TICK_MS)
  }
}
