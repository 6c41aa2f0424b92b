/** Kafka through its two JavaScript clients and its Java client. kafkajs does the administration, whichever is measured. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Appender, type BenchClient, readByFollowing, untilAnswered } from '../client.ts'
import { importPeer } from '../peer-module.ts'
import { javaPrograms } from './java-program.ts'
import { RecordGatherer } from './record-gatherer.ts'

const CALL_RECORDS = 500
const CALLS_IN_FLIGHT = 5
const RECORDS_IN_FLIGHT = 1_000
const REPLICAS = 3
/** Until what one broker says of a new topic is known to all. */
const OTHER_BROKERS_MS = 2_000
const FETCH_BYTES_MAX = 4 << 20
// A topic that was made a moment ago is not known to every broker, nor has every group a coordinator.
const KAFKAJS_RETRIES = { retries: 1_000, initialRetryTime: 50, maxRetryTime: 200 }
const PLATFORMATIC_RETRIES = { retries: 1_000, retryDelay: 50 }

export interface KafkaConfig {
  readonly brokers: readonly string[]
  readonly modules: string
  /** Topics are synced to disk before an acknowledgement, on two nodes at least. */
  readonly flushes: boolean
  /** Starts JavaClient.java, where it could be compiled. */
  readonly javaCommand: readonly string[] | undefined
}

const FLUSHES = [
  { name: 'min.insync.replicas', value: '2' },
  { name: 'flush.messages', value: '1' },
]

interface Connected {
  connect(): Promise<void>
  disconnect(): Promise<void>
}

interface Admin extends Connected {
  createTopics(options: object): Promise<unknown>
  deleteTopics(options: object): Promise<unknown>
  fetchTopicOffsets(topic: string): Promise<readonly { readonly high: string }[]>
  fetchTopicMetadata(options: object): Promise<{
    readonly topics: readonly {
      readonly partitions: readonly {
        readonly partitionId: number
        readonly leader: number
        readonly isr: readonly number[]
      }[]
    }[]
  }>
}

interface KafkaJsProducer extends Connected {
  send(options: object): Promise<unknown>
}

interface KafkaJsConsumer extends Connected {
  subscribe(options: object): Promise<void>
  run(options: object): Promise<void>
}

interface KafkaJsBatch {
  readonly batch: { readonly partition: number; readonly messages: readonly { readonly value: Uint8Array }[] }
}

interface KafkaJs {
  Kafka: new (
    options: object,
  ) => {
    admin(): Admin
    producer(options: object): KafkaJsProducer
    consumer(options: object): KafkaJsConsumer
  }
  readonly logLevel: { readonly NOTHING: number }
}

interface Platformatic {
  Producer: new (options: object) => { send(options: object): Promise<unknown>; close(): Promise<void> }
  Consumer: new (
    options: object,
  ) => {
    consume(options: object): Promise<{
      on(event: 'data', listener: (message: { partition: number; value: Uint8Array }) => void): unknown
      on(event: 'error', listener: (error: Error) => void): unknown
    }>
    close(force: boolean): Promise<void>
  }
}

export async function kafkaClient({ brokers, modules, flushes, javaCommand }: KafkaConfig): Promise<BenchClient> {
  const { default: kafkajs } = await importPeer<{ default: KafkaJs }>(modules, 'kafkajs')
  const platformatic = await importPeer<Platformatic>(modules, '@platformatic/kafka')
  const cluster = (): InstanceType<KafkaJs['Kafka']> =>
    new kafkajs.Kafka({ clientId: 'bench', brokers, logLevel: kafkajs.logLevel.NOTHING, retry: KAFKAJS_RETRIES })
  const options = { clientId: 'bench', bootstrapBrokers: brokers, ...PLATFORMATIC_RETRIES }
  let groups = 0
  const group = (): string => `bench-${process.pid}-${groups++}`
  const admin = cluster().admin()
  await admin.connect()

  const ofPlatformatic = async (topic: string, calls: Calls): Promise<Appender> => {
    const producer = new platformatic.Producer({ ...options, autocreateTopics: false, acks: -1 })
    return {
      ...calls,
      send: records => producer.send({ acks: -1, messages: records.map(record => ({ topic, ...record })) }),
      close: () => producer.close(),
    }
  }
  const ofKafkaJs = async (topic: string, calls: Calls): Promise<Appender> => {
    const producer = cluster().producer({ idempotent: false })
    await producer.connect()
    return {
      ...calls,
      send: messages => producer.send({ topic, acks: -1, messages }),
      close: () => producer.disconnect(),
    }
  }
  const byPlatformatic: Follow = async (topic, onRecord) => {
    const consumer = new platformatic.Consumer({ ...options, groupId: group(), maxBytesPerPartition: FETCH_BYTES_MAX })
    const stream = await consumer.consume({
      topics: [topic],
      mode: 'earliest',
      autocommit: false,
      highWaterMark: 8_192,
    })
    stream.on('data', ({ partition, value }) => onRecord(partition, value))
    stream.on('error', error => {
      throw error
    })
    return () => consumer.close(true)
  }
  const byKafkaJs: Follow = async (topic, onRecord) => {
    const consumer = cluster().consumer({ groupId: group(), maxBytesPerPartition: FETCH_BYTES_MAX })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    const eachBatch = async ({ batch }: KafkaJsBatch): Promise<void> => {
      for (const { value } of batch.messages) onRecord(batch.partition, value)
    }
    await consumer.run({ autoCommit: false, eachBatch })
    return () => consumer.disconnect()
  }
  const partitionsOf = (topic: string): Promise<{ leader: number }[]> =>
    untilAnswered(`replicas of ${topic} in sync`, async () => {
      const { partitions } = (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]!
      const whole = partitions.every(({ leader, isr }) => leader > 0 && isr.length === REPLICAS)
      return whole ? partitions.toSorted((a, b) => a.partitionId - b.partitionId) : undefined
    })
  const countPartitions = async (topic: string): Promise<number> => (await partitionsOf(topic)).length
  return {
    appends: {
      'platformatic, 500': topic => ofPlatformatic(topic, BATCHES),
      'kafkajs, 500': topic => ofKafkaJs(topic, BATCHES),
      'platformatic, gathered': async topic => gathered(await ofPlatformatic(topic, BATCHES)),
    },
    reads: { platformatic: readByFollowing(byPlatformatic), kafkajs: readByFollowing(byKafkaJs) },
    ...(javaCommand === undefined ? {} : javaPrograms([...javaCommand, brokers.join(',')], countPartitions)),
    retrying: topic => ofPlatformatic(topic, SINGLES),
    createTopic: async (topic, partitions) => {
      const configEntries = flushes ? FLUSHES : []
      const config = { topic, numPartitions: partitions, replicationFactor: REPLICAS, configEntries }
      // Its own wait for leaders takes a broker that has not heard of the topic yet for an error.
      // Nor do all brokers take part from the first moment.
      await untilAnswered(`the creation of ${topic}`, async () => {
        await admin.createTopics({ waitForLeaders: false, timeout: 60_000, topics: [config] })
        return true
      })
      await partitionsOf(topic)
      // One broker has said so; a request to one that has not heard yet is repeated whole, its records twice.
      await sleep(OTHER_BROKERS_MS)
    },
    deleteTopic: async topic => void (await admin.deleteTopics({ topics: [topic], timeout: 60_000 })),
    leader: async topic => (await partitionsOf(topic))[0]!.leader,
    stored: async topic => {
      await partitionsOf(topic)
      const offsets = await untilAnswered(`offsets of ${topic}`, () => admin.fetchTopicOffsets(topic))
      return offsets.reduce((sum, { high }) => sum + Number(high), 0)
    },
    follow: byPlatformatic,
    close: () => admin.disconnect(),
  }
}

type Calls = Pick<Appender, 'callRecords' | 'callsInFlight'>
type Follow = BenchClient['follow']

const BATCHES: Calls = { callRecords: CALL_RECORDS, callsInFlight: CALLS_IN_FLIGHT }
const SINGLES: Calls = { callRecords: 1, callsInFlight: RECORDS_IN_FLIGHT }

function gathered(appender: Appender): Appender {
  const limits = { requestsInFlight: CALLS_IN_FLIGHT, requestRecords: CALL_RECORDS }
  const gatherer = new RecordGatherer(appender.send, limits)
  return { ...appender, ...SINGLES, send: ([record]) => gatherer.send(record!) }
}
