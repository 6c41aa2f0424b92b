/** Runs a handler per delivery, several at a time, in order per key, and settles each when its handler is done. */
import { MillraceError } from '@millrace/record'
import { Observable, type OperatorFunction } from 'rxjs'
import type { ReceivedRecord } from '../reader/received-record.ts'
import type { Delivery } from './delivery.ts'

export interface ProcessEachOptions {
  /** Handlers at a time. Default 1. */
  readonly concurrency?: number
  /** What stays in order: records of one key (default; those without one in any order), of one partition, or nothing. */
  readonly by?: 'key' | 'partition' | 'none'
}

/** What a handler gets. `signal` fires when its result is not wanted any more. */
export type RecordHandler<T, K> = (record: ReceivedRecord<T, K>, signal: AbortSignal) => unknown

/**
 * Each delivery goes to `handler` and is settled when that is done; then its record is emitted. At most `concurrency`
 * handlers run, and of each key at most one. What waits for its turn is bounded by the window of the observable.
 *
 * A handler that fails ends the observable with its error: nothing behind it is begun.
 *
 * @throws INVALID_ARGUMENT where `concurrency` is not a whole number above 0
 */
export function processEach<T, K>(
  handler: RecordHandler<T, K>,
  options: ProcessEachOptions = {},
): OperatorFunction<Delivery<T, K>, ReceivedRecord<T, K>> {
  const { concurrency = 1, by = 'key' } = options
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new MillraceError('INVALID_ARGUMENT', `concurrency: ${concurrency} is no whole number above 0`)
  }
  return source =>
    new Observable(subscriber => {
      /** Not begun, in the order of arrival. */
      const waiting: { readonly delivery: Delivery<T, K>; readonly lane: string | null }[] = []
      const busy = new Set<string>()
      let running = 0
      let completed = false

      const begin = (): void => {
        for (let i = 0; i < waiting.length && running < concurrency && !subscriber.closed; ) {
          const { delivery, lane } = waiting[i]!
          if (lane !== null && busy.has(lane)) {
            i++
            continue
          }
          waiting.splice(i, 1)
          if (lane !== null) busy.add(lane)
          running++
          void run(delivery, lane)
        }
        if (completed && running === 0 && waiting.length === 0) subscriber.complete()
      }
      const run = async (delivery: Delivery<T, K>, lane: string | null): Promise<void> => {
        try {
          await handler(delivery.record, delivery.signal)
          delivery.ack()
          subscriber.next(delivery.record)
        } catch (error) {
          delivery.nack()
          subscriber.error(error)
        }
        running--
        if (lane !== null) busy.delete(lane)
        begin()
      }
      const subscription = source.subscribe({
        next: delivery => {
          waiting.push({ delivery, lane: laneOf(delivery.record, by) })
          begin()
        },
        error: error => subscriber.error(error),
        complete: () => {
          completed = true
          begin()
        },
      })
      return () => {
        subscription.unsubscribe()
        waiting.length = 0
      }
    })
}

const latin1 = new TextDecoder('latin1')

function laneOf<T, K>(record: ReceivedRecord<T, K>, by: 'key' | 'partition' | 'none'): string | null {
  if (by === 'none') return null
  if (by === 'partition') return String(record.partition)
  const key = record.keyBytes
  return key === null ? null : latin1.decode(key)
}
