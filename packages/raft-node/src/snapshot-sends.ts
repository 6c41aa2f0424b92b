/**
 * The transfers of a node: one to a peer at a time, a bounded number to all, others in the order in which they were asked
 * for; all share one rate.
 */
import type { SnapshotReader } from '@millrace/log-store'
import type { Clock } from './node.ts'
import { RateLimit } from './rate-limit.ts'
import type { SnapshotCall, SnapshotCallEvents, SnapshotOffer } from './snapshot-calls.ts'
import type { SnapshotOptions } from './snapshot-options.ts'
import { SnapshotSender, type TransferEnd } from './snapshot-sender.ts'

/** What there is to be sent. */
export interface Transfer {
  readonly toNode: number
  /** Opens it when its turn has come. @throws Error when there is nothing to send any more */
  open(): Promise<{ readonly offer: SnapshotOffer; readonly reader: SnapshotReader }>
  /** The transfer is over, and its snapshot closed. Once. */
  ended(end: TransferEnd): void
}

/** Since the start of the node. */
export interface SnapshotTraffic {
  /** Content sent, what was sent twice included. */
  bytesSent: number
  bytesReceived: number
  /** Transfers that reached their end, at either side. */
  sent: number
  installed: number
  taken: number
}

export interface SnapshotSendsOptions {
  readonly clock: Pick<Clock, 'setTimer' | 'monotonicMs'>
  readonly limits: Required<SnapshotOptions>
  call(toNode: number, offer: SnapshotOffer, events: SnapshotCallEvents): SnapshotCall
}

/** How far a transfer is: content that its receiver has. */
export interface TransferProgress {
  /** Of the snapshot. */
  readonly index: number
  readonly bytes: number
  readonly bytesTotal: number
}

/** A transfer to another node that is under way. */
export interface RunningTransfer extends TransferProgress {
  readonly toNode: number
  readonly group: number
}

/** A transfer that was asked for. */
export interface SendHandle {
  /** Undefined until its turn has come. */
  readonly progress: TransferProgress | undefined
  abort(reason: string): void
}

export class SnapshotSends {
  readonly traffic: SnapshotTraffic = { bytesSent: 0, bytesReceived: 0, sent: 0, installed: 0, taken: 0 }
  readonly limits: Required<SnapshotOptions>
  readonly #options: SnapshotSendsOptions
  readonly #rate: RateLimit
  #waiting: Send[] = []
  readonly #running = new Map<number, Send>()

  constructor(options: SnapshotSendsOptions) {
    this.limits = options.limits
    this.#options = options
    this.#rate = new RateLimit(options.clock, options.limits.snapshotBytesPerSecondMax)
  }

  get running(): number {
    return this.#running.size
  }

  /** Those under way, one per node. */
  get transfers(): readonly RunningTransfer[] {
    return [...this.#running.values()].flatMap(send => send.running ?? [])
  }

  get waiting(): number {
    return this.#waiting.length
  }

  add(transfer: Transfer): SendHandle {
    const send = new Send(transfer)
    this.#waiting.push(send)
    this.#next()
    return send
  }

  /** Starts what may be started. */
  #next(): void {
    for (const send of this.#waiting) {
      const { toNode } = send.transfer
      if (this.#running.size >= this.limits.snapshotSendsMax) break
      if (this.#running.has(toNode)) continue
      this.#running.set(toNode, send)
      void this.#run(send).then(end => {
        this.#running.delete(toNode)
        if (end.status === 'finished') this.traffic.sent += 1
        send.transfer.ended(end)
        this.#next()
      })
    }
    const running = new Set(this.#running.values())
    this.#waiting = this.#waiting.filter(send => !running.has(send))
  }

  async #run(send: Send): Promise<TransferEnd> {
    if (send.aborted !== undefined) return { status: 'failed', reason: send.aborted }
    try {
      const { offer, reader } = await send.transfer.open()
      try {
        return await this.#transfer(send, offer, reader)
      } finally {
        await reader.close()
      }
    } catch (error) {
      return { status: 'failed', reason: error instanceof Error ? error.message : String(error) }
    }
  }

  #transfer(send: Send, offer: SnapshotOffer, reader: SnapshotReader): Promise<TransferEnd> {
    const { clock } = this.#options
    const sender = new SnapshotSender({
      ...{ offer, reader, clock, rate: this.#rate, chunkBytes: this.limits.snapshotChunkBytes },
      call: events => this.#options.call(send.transfer.toNode, offer, events),
      sent: bytes => {
        this.traffic.bytesSent += bytes
      },
    })
    send.began(offer, sender)
    return sender.ended
  }
}

class Send implements SendHandle {
  readonly transfer: Transfer
  aborted: string | undefined
  #offer: SnapshotOffer | undefined
  #sender: SnapshotSender | undefined

  constructor(transfer: Transfer) {
    this.transfer = transfer
  }

  get progress(): TransferProgress | undefined {
    if (this.#offer === undefined || this.#sender === undefined) return undefined
    const { index, contentBytes } = this.#offer.info
    return { index, bytes: this.#sender.bytesReceived, bytesTotal: contentBytes }
  }

  get running(): RunningTransfer | undefined {
    const { progress } = this
    return progress && this.#offer && { ...progress, toNode: this.transfer.toNode, group: this.#offer.group }
  }

  abort(reason: string): void {
    this.aborted ??= reason
    this.#sender?.abort(reason)
  }

  began(offer: SnapshotOffer, sender: SnapshotSender): void {
    this.#offer = offer
    this.#sender = sender
    if (this.aborted !== undefined) sender.abort(this.aborted)
  }
}
