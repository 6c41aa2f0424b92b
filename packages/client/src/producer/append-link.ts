/**
 * A way to hand batches to one node. Two kinds: a long-lived bidirectional stream with many batches in flight, and unary
 * calls for where there are no such streams (browsers, load balancers). A link lives until its first error; whoever uses
 * it is told once, and takes a new one.
 */
import type { Answer } from './answer.ts'

/** Wishes for the order of the log: refused with EXPECTATION_FAILED where they do not hold. */
export type Expectation =
  /** The partition's next offset. */
  | { readonly partitionOffset: number }
  /** Offset of the newest record with this key, or that there is none. Brokers of this version answer UNSUPPORTED. */
  | { readonly keyOffset: number | 'none' }

/** One batch as it goes on the wire. */
export interface BatchRequest {
  readonly topic: string
  readonly partition: number
  readonly producerId: Uint8Array
  readonly epoch: number
  readonly sequence: number
  /** An earlier attempt may have been stored. */
  readonly retry: boolean
  readonly expect: Expectation | undefined
  readonly bytes: Uint8Array
  readonly crc: number
  readonly count: number
  readonly codec: number
}

export interface AppendLink {
  readonly id: number
  readonly url: string
  /** Resolves once batches may be sent; rejects with MillraceError where there is no way to the node. */
  readonly ready: Promise<void>
  /** Calls `answered` at most once, never synchronously; not at all if the link ends before. */
  send(request: BatchRequest, answered: (answer: Answer) => void): void
  /** Calls back when the link has ended; at once if it has. */
  onEnd(ended: () => void): void
  /** No answer came for a while: ends the link if nothing at all came. */
  suspect(): void
  close(): void
}
