/**
 * Several partitions as one sequence of batches: each partition in its own order, between them as they come. Holds at
 * most one batch per partition; asks a partition for its next one only when the last was taken.
 */
import type { OpenRead, ReadEvent } from './partition-read.ts'

export interface MergedEvent {
  readonly partition: number
  readonly event: ReadEvent
}

type Arrival =
  | { readonly type: 'event'; readonly source: OpenRead; readonly event: ReadEvent }
  | { readonly type: 'end' }
  | { readonly type: 'failed'; readonly error: unknown }

/**
 * Ends when all reads have ended; fails with the first that fails. Returning early leaves the reads running until their
 * signal fires: the caller aborts it.
 */
export async function* mergeReads(reads: readonly OpenRead[]): AsyncGenerator<MergedEvent> {
  const arrived: Arrival[] = []
  let wake: (() => void) | undefined
  const arrive = (arrival: Arrival) => {
    arrived.push(arrival)
    wake?.()
  }
  const pull = (source: OpenRead) => {
    source.events.next().then(
      result => arrive(result.done ? { type: 'end' } : { type: 'event', source, event: result.value }),
      (error: unknown) => arrive({ type: 'failed', error }),
    )
  }
  for (const read of reads) pull(read)
  for (let open = reads.length; open > 0; ) {
    const arrival = arrived.shift()
    if (arrival === undefined) {
      await new Promise<void>(resolve => {
        wake = resolve
      })
      continue
    }
    if (arrival.type === 'failed') throw arrival.error
    if (arrival.type === 'end') {
      open--
      continue
    }
    yield { partition: arrival.source.partition, event: arrival.event }
    pull(arrival.source)
  }
}
