/**
 * The bridge from a read to an Observable of deliveries. Cold: every subscription opens its own read. `rxjs.from` does
 * not do here: it pulls ahead of a slow subscriber without bound, and an idle source does not notice an unsubscribe.
 *
 * Invariant: between the read and the subscriber stand at most the window's deliveries and one batch.
 */
import { Observable, type Subscriber } from 'rxjs'
import type { ReadBatch, TopicRead } from '../reader/topic-read.ts'
import { Delivery } from './delivery.ts'
import { DeliveryWindow, type WindowLimits, type WindowReport } from './delivery-window.ts'

/** @param open starts a read that lives until its signal fires */
export function observeTopic<T, K>(
  open: (signal: AbortSignal) => TopicRead<T, K>,
  limits: WindowLimits,
  report: WindowReport,
): Observable<Delivery<T, K>> {
  return new Observable(subscriber => {
    const abort = new AbortController()
    const window = new DeliveryWindow(limits, report)
    subscriber.add(() => {
      abort.abort()
      window.close()
    })
    deliverAll(open(abort.signal), subscriber, window, abort.signal).then(
      () => subscriber.complete(),
      error => {
        if (!subscriber.closed) subscriber.error(error)
      },
    )
  })
}

async function deliverAll<T, K>(
  read: TopicRead<T, K>,
  subscriber: Subscriber<Delivery<T, K>>,
  window: DeliveryWindow,
  signal: AbortSignal,
): Promise<void> {
  for await (const batch of read) {
    await deliver(batch, subscriber, window, signal)
    if (subscriber.closed) return
  }
}

async function deliver<T, K>(
  batch: ReadBatch<T, K>,
  subscriber: Subscriber<Delivery<T, K>>,
  window: DeliveryWindow,
  signal: AbortSignal,
): Promise<void> {
  const bytes = batch.byteLength / batch.records.length
  for (const record of batch.records) {
    while (window.full && !subscriber.closed) await window.room()
    if (subscriber.closed) return
    window.take(bytes)
    subscriber.next(new Delivery(record, signal, () => window.give(bytes)))
  }
}
