/** The client of the bare processes: frames with checksums over plain sockets to the one that leads. */
import { connect, type Socket } from 'node:net'
import { AcknowledgementCutter, FrameCutter, Operation, sealFrame, valuesOf } from '../bare/frame.ts'
import type { Appender, BenchClient, OnRecord, Outgoing } from '../client.ts'

/** Records per call. */
const CALLS = [64, 256, 500]
const CALLS_IN_FLIGHT = 32

export interface BareConfig {
  /** Of the leader. */
  readonly port: number
}

interface NumberedTopic {
  readonly number: number
  readonly partitions: number
}

export async function bareClient({ port }: BareConfig): Promise<BenchClient> {
  const topics = new Map<string, NumberedTopic>()
  const topicOf = (name: string): NumberedTopic => {
    const topic = topics.get(name)
    if (topic === undefined) throw new Error(`no topic ${name} was created`)
    return topic
  }
  const link = await CallLink.open(port)
  const appender = (name: string, callRecords: number, callsInFlight: number): Appender => {
    const topic = topicOf(name)
    const send = async (records: readonly Outgoing[]): Promise<void> => {
      const byPartition = Map.groupBy(records, record => record.partition)
      const sent = [...byPartition].map(([partition, part]) =>
        link.call(
          Operation.append,
          topic.number,
          partition,
          part.map(({ value }) => value),
        ),
      )
      await Promise.all(sent)
    }
    return { callRecords, callsInFlight, send, close: () => Promise.resolve() }
  }
  const read = async (name: string, onRecord: OnRecord): Promise<void> => {
    const { number, partitions } = topicOf(name)
    for (let partition = 0; partition < partitions; partition++) await readPartition(port, number, partition, onRecord)
  }
  const ways = CALLS.map(records => [
    `frames of ${records}`,
    async (name: string) => appender(name, records, CALLS_IN_FLIGHT),
  ])
  return {
    appends: { ...Object.fromEntries(ways), 'frames of 1': async name => appender(name, 1, 1_000) },
    reads: { frames: read },
    retrying: async name => appender(name, 1, 1),
    createTopic: async (name, partitions) => void topics.set(name, { number: topics.size, partitions }),
    deleteTopic: async name => void (await link.call(Operation.forget, topicOf(name).number, 0, [])),
    leader: () => Promise.resolve(1),
    follow: async (name, onRecord) => {
      const socket = await opened(port)
      const cutter = new FrameCutter()
      socket.on('data', (chunk: Buffer) => {
        for (const frame of cutter.push(chunk)) for (const value of valuesOf(frame)) onRecord(frame.partition, value)
      })
      socket.write(sealFrame({ call: 0, topic: topicOf(name).number, partition: 0, operation: Operation.follow }))
      return async () => void socket.destroy()
    },
    close: async () => link.close(),
  }
}

/** Calls on one socket, with the answers to those that are under way. */
class CallLink {
  readonly #socket: Socket
  readonly #waiting = new Map<number, { resolve(): void; reject(error: Error): void }>()
  #next = 0
  #closed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    const cutter = new AcknowledgementCutter()
    socket.on('data', (chunk: Buffer) => {
      for (const call of cutter.push(chunk)) {
        this.#waiting.get(call)?.resolve()
        this.#waiting.delete(call)
      }
    })
    socket.on('close', () => {
      if (this.#closed) return
      for (const { reject } of this.#waiting.values()) reject(new Error('the connection to the bare leader was lost'))
    })
  }

  static async open(port: number): Promise<CallLink> {
    return new CallLink(await opened(port))
  }

  call(operation: number, topic: number, partition: number, values: readonly Uint8Array[]): Promise<void> {
    const call = this.#next++
    const bytes = sealFrame({ call, topic, partition, operation }, values)
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { resolve, reject })
      this.#socket.cork()
      this.#socket.write(bytes)
      process.nextTick(() => this.#socket.uncork())
    })
  }

  close(): void {
    this.#closed = true
    this.#socket.destroy()
  }
}

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.once('connect', () => resolve(socket)).once('error', reject)
  })
}

async function readPartition(port: number, topic: number, partition: number, onRecord: OnRecord): Promise<void> {
  const socket = await opened(port)
  const cutter = new FrameCutter()
  socket.write(sealFrame({ call: 0, topic, partition, operation: Operation.read }))
  for await (const chunk of socket) {
    for (const frame of cutter.push(chunk as Buffer)) {
      if (frame.operation === Operation.end) {
        socket.destroy()
        return
      }
      for (const value of valuesOf(frame)) onRecord(partition, value)
    }
  }
  throw new Error('the connection to the bare leader was lost')
}
