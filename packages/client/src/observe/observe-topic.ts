/**
 * The bridge from a read to an Observable of deliveries. Cold: every subscription opens its own read. `rxjs.from` does
 * not do here: it pulls ahead of a slow subscriber without bound, and an idle source does not notice an unsubscribe.
 *
 * Invariant: between the read and the subscriber stand at most the window's deliveries and one batch.
 */
import { Observable, type Subscriber } from 'rxjs'
import { cancelled } from '../cluster/cluster-directory.ts'
import type { TopicRead } from '../reader/topic-read.ts'
import { Delivery } from './delivery.ts'
import { DeliveryWindow, type WindowLimits, type WindowReport } from './delivery-window.ts'

export interface ObserveSource<T, K> {
  /** Starts a read that lives until its signal fires. */
  readonly open: (signal: AbortSignal) => TopicRead<T, K>
  /** Whether it goes on for ever: then the end of the client is its end; otherwise it is an error. */
  readonly live: boolean
  /** Fires when the client is closed. */
  readonly closed: AbortSignal
}

export function observeTopic<T, K>(
  source: ObserveSource<T, K>,
  limits: WindowLimits,
  report: WindowReport,
): Observable<Delivery<T, K>> {
  return new Observable(subscriber => {
    const abort = new AbortController()
    const window = new DeliveryWindow(limits, report)
    const { closed } = source
    const close = (): void => window.close()
    closed.addEventListener('abort', close, { once: true })
    subscriber.add(() => {
      closed.removeEventListener('abort', close)
      abort.abort()
      window.close()
    })
    deliverAll(source.open(abort.signal), subscriber, window, abort.signal).then(
      () => {
        if (closed.aborted && !source.live) subscriber.error(cancelled(closed))
        else subscriber.complete()
      },
      error => {
        if (closed.aborted && source.live) subscriber.complete()
        else if (!subscriber.closed) subscriber.error(error)
      },
    )
  })
}

/** Returns early when the window is closed: the subscriber or the client has gone. */
async function deliverAll<T, K>(
  read: TopicRead<T, K>,
  subscriber: Subscriber<Delivery<T, K>>,
  window: DeliveryWindow,
  signal: AbortSignal,
): Promise<void> {
  for await (const batch of read) {
    const bytes = batch.byteLength / batch.records.length
    for (const record of batch.records) {
      while (window.full && !window.closed) await window.room()
      if (window.closed) return
      window.take(bytes)
      subscriber.next(new Delivery(record, signal, () => window.give(bytes)))
    }
  }
}
