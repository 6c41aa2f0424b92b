/** Unwraps deliveries at the end of a pipe. */
import { Observable, type OperatorFunction } from 'rxjs'
import type { Delivery } from './delivery.ts'

/**
 * The values of deliveries, each settled as soon as the synchronous `next` downstream returns. For the end of a pipe and
 * for synchronous consumers: work that goes on after `next` (a promise, a mergeMap) is not waited for, so nothing bounds
 * it. For such work keep the delivery and settle it yourself, or use `processEach`.
 *
 * A value that cannot be decoded ends the observable with UNDECODABLE.
 */
export function values<T>(): OperatorFunction<Delivery<T, unknown>, T> {
  return source =>
    new Observable(subscriber =>
      source.subscribe({
        next: delivery => {
          let value: T
          try {
            value = delivery.record.value
          } catch (error) {
            delivery.nack()
            subscriber.error(error)
            return
          }
          subscriber.next(value)
          delivery.ack()
        },
        error: error => subscriber.error(error),
        complete: () => subscriber.complete(),
      }),
    )
}
