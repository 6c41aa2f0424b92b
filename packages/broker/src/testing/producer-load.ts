/** Idempotent producers that append to a cluster until they are stopped, and know what was acknowledged to them. */
import { randomBytes } from 'node:crypto'
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { LogService } from '@millrace/proto'
import { encodeRecordSet } from '@millrace/record'
import { sleep } from '../timing.ts'

export interface AckedBatch {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly recordSet: Uint8Array
  readonly producer: { readonly id: Uint8Array; readonly epoch: number; readonly sequence: number }
}

export class ProducerLoad {
  /** In the order of the answers. */
  readonly acked: AckedBatch[] = []
  readonly #stop = new AbortController()
  readonly #clients: readonly Client<typeof LogService>[]
  #running: Promise<unknown> = Promise.resolve()

  constructor(urls: readonly string[]) {
    this.#clients = urls.map(logClient)
  }

  /** One producer for each partition of each topic. */
  start(topics: Readonly<Record<string, number>>): void {
    const producers = Object.entries(topics).flatMap(([topic, partitions]) =>
      Array.from({ length: partitions }, (_, partition) => this.#produce(topic, partition)),
    )
    this.#running = Promise.all(producers)
  }

  /** Resolves when nothing is on its way any more. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #produce(topic: string, partition: number): Promise<void> {
    const id = randomBytes(16)
    for (let sequence = 0; !this.#stop.signal.aborted; sequence++) {
      const producer = { id, epoch: 1, sequence }
      const key = Buffer.from(`${topic}-${partition}-${sequence % 7}`)
      const value = `value ${sequence} ${'x'.repeat((sequence * 37) % 900)}`
      const headers = [{ name: 'sequence', value: Buffer.from(String(sequence)) }]
      const records = [
        { key, value, headers, createTime: 1_000 + sequence },
        { key: null, value, createTime: 5 },
      ]
      const { bytes: recordSet } = encodeRecordSet(records, { codec: 'none' })
      await this.#append({ topic, partition, recordSet, producer })
    }
  }

  /** Until it is stored: any node passes it on, and a batch that was stored is found again. */
  async #append(batch: Omit<AckedBatch, 'offset' | 'timestamp'>): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const client = this.#clients[attempt % this.#clients.length]!
      try {
        this.acked.push({ ...batch, ...(await appendBatch(client, batch, attempt > 0)) })
        return
      } catch {
        // Whatever it was, the batch is sent again under its number, unless the test is over.
        if (this.#stop.signal.aborted) return
        await sleep(20, this.#stop.signal)
      }
    }
  }
}

export function logClient(url: string): Client<typeof LogService> {
  return createClient(LogService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }))
}

export async function appendBatch(
  client: Client<typeof LogService>,
  { topic, partition, recordSet, producer }: Omit<AckedBatch, 'offset' | 'timestamp'>,
  retry = false,
): Promise<{ readonly offset: number; readonly timestamp: number; readonly duplicate: boolean }> {
  const body = { case: 'recordSet', value: recordSet } as const
  const { appended } = await client.append({ topic, partition, body, producer: { ...producer, retry } })
  const [stored] = appended
  if (stored === undefined) throw new Error('an append was answered without its place')
  return { offset: Number(stored.baseOffset), timestamp: Number(stored.timestamp), duplicate: stored.duplicate }
}
