/** What the tour and its processes tell each other over IPC. */
import type { SentBatch } from './timeline.ts'

/** What a process of the tour works on; its first argument, as JSON. */
export interface TourJob {
  readonly urls: readonly string[]
  readonly topic: string
  readonly partitions: number
  readonly input: string
  readonly lines: number
  /** File to which it writes its ledger. */
  readonly ledger: string
}

export type ToProducer =
  /** Do not stop at the half any longer. */
  | { readonly type: 'continue' }
  /** Say what is unacknowledged. */
  | { readonly type: 'report' }

export type FromProducer =
  /** A third is acknowledged; appending goes on up to the half, and further when told. */
  | { readonly type: 'underway' }
  | { readonly type: 'inflight'; readonly batches: readonly number[] }
  /** The ledger is complete. */
  | { readonly type: 'done'; readonly batches: readonly SentBatch[]; readonly failures: readonly string[] }

export type FromConsumer = { readonly type: 'done'; readonly records: number }

/** Tells the tour; resolves when the message has left. */
export function tellTour(message: FromProducer | FromConsumer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) return reject(new Error('this module is started by `millrace tour`'))
    process.send(message, (error: Error | null) => (error ? reject(error) : resolve()))
  })
}
