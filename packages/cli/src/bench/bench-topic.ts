/**
 * The topic of one run: a new one that is removed at the end, or one that is there, as long as it is empty or has records of
 * `millrace bench` alone. A topic that was there is never removed.
 */
import { randomBytes } from 'node:crypto'
import type { Client, Topic as SdkTopic } from '@millrace/client'
import type { Topic } from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import { CliError } from '../cli-error.ts'
import { createTopic, deleteTopic, describeTopic } from '../cluster/topic-api.ts'
import { EXIT } from '../exit-code.ts'
import { waitFor } from '../process/wait-for.ts'
import { BenchRecordCheck } from './bench-records.ts'

type Handle = SdkTopic<Uint8Array | null>

export interface TopicWish {
  /** Absent: a new name. */
  readonly name?: string | undefined
  /** Of a topic that is made. */
  readonly partitions?: number | undefined
  readonly replication?: number | undefined
}

/** Offsets of one partition: what is there when a run begins. */
export interface PartitionRange {
  readonly partition: number
  readonly logStart: number
  readonly end: number
}

const NO_VALUE = new Uint8Array(0)
const LEADERS_TIMEOUT_MS = 15_000

export class BenchTopic {
  readonly name: string
  /** By this run. */
  readonly created: boolean
  readonly replication: number
  /** To append to and to read from. */
  readonly handle: Handle
  /** As they were at the beginning, by partition. */
  readonly ranges: readonly PartitionRange[]
  readonly #urls: readonly string[]

  private constructor(urls: readonly string[], topic: Topic, handle: Handle, created: boolean) {
    this.#urls = urls
    this.handle = handle
    this.name = topic.name
    this.created = created
    this.replication = topic.config?.replication ?? 0
    this.ranges = rangesOf(topic)
  }

  /**
   * @throws CliError where the topic has records of others, or differs from what was asked for
   * @throws MillraceError UNREACHABLE, INVALID_NAME, INVALID_ARGUMENT
   */
  static async open(urls: readonly string[], client: Client, wish: TopicWish): Promise<BenchTopic> {
    const { bytes, nullable } = await import('@millrace/client')
    const handle = (name: string): Handle => client.topic(name, { value: nullable(bytes) })
    const existing = wish.name === undefined ? undefined : await existingTopic(urls, wish.name)
    if (existing === undefined) {
      const { name = `bench-${randomBytes(4).toString('hex')}`, partitions = 1, replication } = wish
      const config = replication === undefined ? {} : { replication }
      // Nothing may go while it is measured and checked.
      await createTopic(urls, { name, partitions, retentionMs: 0, ...config })
      const topic = await led(urls, name).catch(async error => {
        await deleteTopic(urls, name)
        throw error
      })
      return new BenchTopic(urls, topic, handle(name), true)
    }
    const topic = new BenchTopic(urls, existing, handle(existing.name), false)
    topic.#compare(wish)
    await topic.#refuseForeign()
    return topic
  }

  /** Offsets as they are now, as the node that is asked knows them: one that follows is a little behind. */
  async rangesNow(): Promise<readonly PartitionRange[]> {
    return rangesOf(await describeTopic(this.#urls, this.name))
  }

  /** Removes a topic that this run made. */
  async remove(): Promise<void> {
    if (this.created) await deleteTopic(this.#urls, this.name)
  }

  #compare({ partitions, replication }: TopicWish): void {
    for (const [option, wished, there] of [
      ['--partitions', partitions, this.ranges.length],
      ['--replication', replication, this.replication],
    ] as const) {
      if (wished === undefined || wished === there) continue
      const what = `topic ${this.name} is there with ${there}`
      throw new CliError(`${option} ${wished}: ${what}; leave the option out, or name another topic`, EXIT.usage)
    }
  }

  /** Looks at the oldest and the newest record of each partition. */
  async #refuseForeign(): Promise<void> {
    const check = new BenchRecordCheck()
    for (const { partition, logStart, end } of this.ranges) {
      if (end === logStart) continue
      for (const offset of new Set([logStart, end - 1])) {
        for await (const { records } of this.handle.read({ from: { offset, partition }, batchBytesMax: 1 })) {
          const [first] = records
          if (first !== undefined && !check.isOwn(first.value ?? NO_VALUE)) throw this.#foreign(partition, offset)
          break
        }
      }
    }
  }

  #foreign(partition: number, offset: number): CliError {
    const where = `partition ${partition}, offset ${offset}`
    return new CliError(
      `topic ${this.name} has records that millrace bench did not append (${where}), and is left alone: name another, or none to have one made`,
      EXIT.usage,
    )
  }
}

async function existingTopic(urls: readonly string[], name: string): Promise<Topic | undefined> {
  try {
    return await describeTopic(urls, name)
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'UNKNOWN_TOPIC') return undefined
    throw error
  }
}

/** A new topic has no leaders for an instant, which is no part of what is measured. */
async function led(urls: readonly string[], name: string): Promise<Topic> {
  const find = async (): Promise<Topic | false> => {
    const topic = await describeTopic(urls, name)
    return topic.partitions.every(({ leaderNode }) => leaderNode !== 0) && topic
  }
  return await waitFor(find, { what: `leaders of topic ${name}`, timeoutMs: LEADERS_TIMEOUT_MS })
}

function rangesOf({ partitions }: Topic): readonly PartitionRange[] {
  return partitions.map(({ partition, logStartOffset, highWatermark }) => ({
    partition,
    logStart: Number(logStartOffset),
    end: Number(highWatermark),
  }))
}
