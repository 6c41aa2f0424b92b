/** Millrace through its own SDK. */
import { bytes, type Client, connect, type Topic, values } from '@millrace/client'
import { lastValueFrom, tap } from 'rxjs'
import { type Appender, type BenchClient, type Outgoing, untilAnswered } from '../client.ts'

/** Records per call. */
const CALLS = [64, 256, 500]
const CALLS_IN_FLIGHT = 32
const RECORDS_IN_FLIGHT = 1_000
/** Deliveries under way, as many as NATS is given. */
const WINDOW = { count: 5_000 }

type BytesTopic = Topic<Uint8Array>

export interface MillraceConfig {
  readonly urls: readonly string[]
}

export async function millraceClient({ urls }: MillraceConfig): Promise<BenchClient> {
  const client = connect(urls)
  const topicOf = (name: string): BytesTopic => client.topic(name, { value: bytes })
  return {
    appends: {
      ...Object.fromEntries(
        CALLS.map(records => [`appendMany, ${records}`, async (name: string) => many(topicOf(name), records)]),
      ),
      append: async name => single(topicOf(name)),
    },
    reads: {
      'read()': async (name, onRecord) => {
        for await (const batch of topicOf(name).read({ from: 'earliest' }))
          for (const record of batch.records) onRecord(batch.partition, record.value)
      },
      'observe()': async (name, onRecord) => {
        // The values of one partition: an observable of values does not name theirs.
        const all = topicOf(name).observe({ from: 'earliest', live: false, window: WINDOW })
        await lastValueFrom(
          all.pipe(
            values(),
            tap(value => onRecord(0, value)),
          ),
          { defaultValue: undefined },
        )
      },
    },
    retrying: async name => single(topicOf(name)),
    createTopic: async (name, partitions) => {
      await client.topics.create(name, { partitions, replication: 3, retentionMs: 0 })
      await led(client, name)
    },
    deleteTopic: name => client.topics.delete(name),
    leader: async name => (await led(client, name))[0]!.leaderNode,
    follow: async (name, onRecord) => {
      const subscription = topicOf(name)
        .observe({ from: 'earliest' })
        .subscribe(delivery => {
          onRecord(delivery.record.partition, delivery.record.value)
          delivery.ack()
        })
      return async () => subscription.unsubscribe()
    },
    close: () => client.close(),
  }
}

function many(topic: BytesTopic, callRecords: number): Appender {
  const send = (records: readonly Outgoing[]): Promise<unknown> => topic.appendMany(records)
  return { callRecords, callsInFlight: CALLS_IN_FLIGHT, send, close: () => topic.flush() }
}

function single(topic: BytesTopic): Appender {
  return {
    callRecords: 1,
    callsInFlight: RECORDS_IN_FLIGHT,
    send: ([record]) => topic.append(record!),
    close: () => topic.flush(),
  }
}

function led(client: Client, name: string): Promise<readonly { leaderNode: number }[]> {
  return untilAnswered(`leaders of ${name}`, async () => {
    const { partitions } = await client.topics.describe(name)
    return partitions.every(({ leaderNode }) => leaderNode !== 0) ? partitions : undefined
  })
}
