/**
 * NATS JetStream through its JavaScript client, in the ways that its own maintainers recommend for throughput, and through
 * its command-line tool.
 */
import {
  type Appender,
  type BenchClient,
  type LoadProgram,
  type OnRecord,
  readByFollowing,
  untilAnswered,
} from '../client.ts'
import { importPeer } from '../peer-module.ts'
import { NATS_CLI_WAY, NatsCli, type NatsCliConfig } from './nats-cli.ts'

const PUBLISHES_IN_FLIGHT = 1_000
/** A request that got lost is made again after this time; by default that takes half a minute. */
const CONSUME = { max_messages: 5_000, expires: 5_000 }
const REPLICAS = 3
const FAST_INGEST = { allowGaps: false, ackInterval: 500, maxOutstandingAcks: 3 }
/** Of a publish while a leader may be gone; the client's own 5 s would be most of what is measured. */
const RETRY_TIMEOUT_MS = 500
const CALL_TIMEOUT_MS = 20_000
const START_TIMEOUT_MS = 300

export interface NatsConfig {
  readonly urls: readonly string[]
  /** In which the modules of the client are installed. */
  readonly modules: string
  /** Where the tool is installed. */
  readonly cli: NatsCliConfig | undefined
}

interface Connection {
  close(): Promise<void>
}

interface StreamInfo {
  readonly state: { readonly messages: number }
  readonly cluster?: { readonly leader?: string; readonly replicas?: readonly { readonly current: boolean }[] }
}

interface Manager {
  getAccountInfo(): Promise<object>
  readonly streams: {
    add(config: object): Promise<object>
    delete(name: string): Promise<unknown>
    info(name: string): Promise<StreamInfo>
  }
}

interface Message {
  readonly subject: string
  readonly data: Uint8Array
}

interface JetStream {
  publish(subject: string, payload: Uint8Array, options?: object): Promise<unknown>
  readonly consumers: {
    get(stream: string): Promise<{ consume(options: object): Promise<{ close(): Promise<unknown> }> }>
  }
}

interface FastIngest {
  add(subject: string, payload: Uint8Array): Promise<unknown>
  last(subject: string, payload: Uint8Array): Promise<unknown>
}

interface Modules {
  connect(options: object): Promise<Connection>
  jetstream(connection: Connection, options?: object): JetStream
  jetstreamManager(connection: Connection, options?: object): Promise<Manager>
  startFastIngest(connection: Connection, subject: string, payload: Uint8Array, options: object): Promise<FastIngest>
}

async function load(folder: string): Promise<Modules> {
  const transport = await importPeer<Pick<Modules, 'connect'>>(folder, '@nats-io/transport-node')
  const api = await importPeer<Pick<Modules, 'jetstream' | 'jetstreamManager'>>(folder, '@nats-io/jetstream')
  // Described as a method of JetStream, exported only here.
  const more = await importPeer<Pick<Modules, 'startFastIngest'>>(folder, '@nats-io/jetstream/internal')
  return {
    connect: transport.connect,
    jetstream: api.jetstream,
    jetstreamManager: api.jetstreamManager,
    startFastIngest: more.startFastIngest,
  }
}

export async function natsClient({ urls, modules, cli }: NatsConfig): Promise<BenchClient> {
  const nats = await load(modules)
  const open = (servers: readonly string[], more: object = {}): Promise<Connection> =>
    nats.connect({
      servers,
      noRandomize: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
      reconnectJitter: 0,
      ...more,
    })
  const main = await untilAnswered('a connection to NATS', () => open(urls))
  // Until the servers have agreed on a leader of theirs, calls fail or are not answered.
  const impatient = await nats.jetstreamManager(main, { timeout: START_TIMEOUT_MS, checkAPI: false })
  await untilAnswered('JetStream to answer', () => impatient.getAccountInfo())
  const manager = await nats.jetstreamManager(main, { timeout: CALL_TIMEOUT_MS })
  const streams = new Map<string, number>()
  const info = (name: string): Promise<StreamInfo> =>
    untilAnswered(`a leader of stream ${name} with ${REPLICAS} replicas`, async () => {
      const found = await manager.streams.info(name)
      const { leader, replicas = [] } = found.cluster ?? {}
      return leader && replicas.length === REPLICAS - 1 && replicas.every(replica => replica.current)
        ? found
        : undefined
    })
  const leader = async (name: string): Promise<number> =>
    Number((await info(streamOf(name, 0))).cluster!.leader!.slice(1))
  // Clients talk to the server that leads, as those of other systems do by themselves; the others are there for later.
  const nearLeader = async (name: string): Promise<Connection> => {
    const at = (await leader(name)) - 1
    return await open([urls[at]!, ...urls.toSpliced(at, 1)])
  }
  const consume = async (name: string, onRecord: OnRecord): Promise<() => Promise<void>> => {
    const connection = await nearLeader(name)
    const api = nats.jetstream(connection)
    for (let partition = 0; partition < streams.get(name)!; partition++) {
      const consumer = await api.consumers.get(streamOf(name, partition))
      const callback = ({ data }: Message): void => onRecord(partition, data)
      await consumer.consume({ ...CONSUME, callback })
    }
    return () => connection.close()
  }
  const publishing = async (name: string, options: object): Promise<Appender> => {
    const connection = await nearLeader(name)
    const api = nats.jetstream(connection, { timeout: CALL_TIMEOUT_MS })
    return {
      callRecords: 1,
      callsInFlight: PUBLISHES_IN_FLIGHT,
      send: ([record]) => api.publish(streamOf(name, record!.partition), record!.value, options),
      close: () => connection.close(),
    }
  }
  const tool = cli === undefined ? undefined : new NatsCli(cli)
  const publisher = async (name: string, by: NatsCli): Promise<LoadProgram> =>
    by.publisher(urls[(await leader(name)) - 1]!, streamOf(name, 0))
  return {
    appends: {
      publish: name => publishing(name, {}),
      'fast ingest': async name => fastIngest(nats, await nearLeader(name), streamOf(name, 0)),
    },
    reads: { consume: readByFollowing(consume) },
    ...(tool === undefined ? {} : { loadPrograms: { [NATS_CLI_WAY]: name => publisher(name, tool) } }),
    retrying: name => publishing(name, { timeout: RETRY_TIMEOUT_MS, retries: 0 }),
    createTopic: async (name, partitions) => {
      streams.set(name, partitions)
      for (let partition = 0; partition < partitions; partition++) {
        const stream = streamOf(name, partition)
        const storage = { num_replicas: REPLICAS, storage: 'file', allow_direct: true }
        const config = { name: stream, subjects: [stream], ...storage, allow_batched: true, allow_atomic: true }
        await untilAnswered(`the creation of ${stream}`, () => manager.streams.add(config))
        await info(stream)
      }
    },
    deleteTopic: async name => {
      for (let partition = 0; partition < streams.get(name)!; partition++)
        await manager.streams.delete(streamOf(name, partition))
    },
    leader,
    stored: async name => {
      let messages = 0
      for (let partition = 0; partition < streams.get(name)!; partition++)
        messages += (await info(streamOf(name, partition))).state.messages
      return messages
    },
    follow: consume,
    close: () => main.close(),
  }
}

/** A stream each, with its own name as the subject. */
function streamOf(name: string, partition: number): string {
  return `${name}-${partition}`
}

/** Starts with the first record: a batch has to have one. */
function fastIngest(nats: Modules, connection: Connection, subject: string): Appender {
  let batch: Promise<FastIngest> | undefined
  return {
    callRecords: 1,
    callsInFlight: 1,
    send: ([record]) => {
      if (batch !== undefined) return batch.then(open => open.add(subject, record!.value))
      batch = nats.startFastIngest(connection, subject, record!.value, FAST_INGEST)
      return batch
    },
    last: async record => {
      if (batch === undefined) throw new Error('a batch of one record')
      await (await batch).last(subject, record.value)
    },
    close: () => connection.close(),
  }
}
