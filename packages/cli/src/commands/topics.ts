/** `millrace topics`: create, list, describe, trim and delete topics. */
import type { Topic } from '@millrace/proto'
import { LIMITS } from '@millrace/record'
import { Command } from 'commander'
import { createTopic, deleteTopic, describeTopic, listTopics, trimPartition } from '../cluster/topic-api.ts'
import { formatBytes, formatCount, formatDuration, parseCount, parseDuration, parseSize } from '../quantities.ts'
import { tableLines } from '../terminal/table.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption, urlOption, urlsFrom } from './common-options.ts'

interface Common {
  readonly url?: string
  readonly json?: boolean
}

interface CreateOptions extends Common {
  readonly partitions?: number
  readonly replication?: number
  readonly retention?: number
  readonly retentionBytes?: number
  readonly ifNotExists?: boolean
}

interface TrimOptions extends Common {
  readonly partition: number
  readonly before: number
}

export function topicsCommand(terminal: Terminal): Command {
  const topics = new Command('topics').description('create, list, describe, trim and delete topics')
  topics.addCommand(createCommand(terminal))
  topics.addCommand(
    listed('list', 'list all topics').action(async (options: Common) => {
      const found = await listTopics(urlsFrom(options.url))
      if (options.json === true) terminal.print(JSON.stringify(found.map(topicJson)))
      else if (found.length === 0) terminal.note('no topics yet; millrace topics create NAME makes one')
      else printTopics(terminal, found)
    }),
  )
  topics.addCommand(
    listed('describe', 'show a topic, its partitions and their leaders')
      .argument('<TOPIC>')
      .action(async (name: string, options: Common) => {
        const topic = await describeTopic(urlsFrom(options.url), name)
        if (options.json === true) terminal.print(JSON.stringify(topicJson(topic)))
        else printTopic(terminal, topic)
      }),
  )
  topics.addCommand(
    listed('delete', 'delete a topic and all of its records')
      .argument('<TOPIC>')
      .action(async (name: string, options: Common) => {
        await deleteTopic(urlsFrom(options.url), name)
        if (options.json === true) terminal.print(JSON.stringify({ deleted: name }))
        else terminal.note(`topic ${name} is deleted`)
      }),
  )
  topics.addCommand(trimCommand(terminal))
  return topics
}

function listed(name: string, description: string): Command {
  return new Command(name).description(description).addOption(jsonOption()).addOption(urlOption())
}

function createCommand(terminal: Terminal): Command {
  return listed('create', 'create a topic')
    .argument('<TOPIC>')
    .option('--partitions <N>', 'number of partitions (default: 3)', text =>
      parseCount(text, '--partitions', 1, LIMITS.partitionsPerTopicMax),
    )
    .option('--replication <N>', 'replicas of each partition (default: min(3, nodes))', text =>
      parseCount(text, '--replication', 1, 9),
    )
    .option(
      '--retention <DURATION>',
      'age at which records may go, such as 7d; 0 keeps them (default: 7d)',
      parseDuration,
    )
    .option('--retention-bytes <SIZE>', 'size of a partition above which the oldest go, such as 10GiB', parseSize)
    .option('--if-not-exists', 'succeed where it exists already')
    .action(async (name: string, options: CreateOptions) => {
      const { partitions, replication, retention, retentionBytes, ifNotExists } = options
      const { topic, created } = await createTopic(urlsFrom(options.url), {
        name,
        ...(partitions === undefined ? {} : { partitions }),
        ...(replication === undefined ? {} : { replication }),
        ...(retention === undefined ? {} : { retentionMs: retention }),
        ...(retentionBytes === undefined ? {} : { retentionBytes }),
        ...(ifNotExists === undefined ? {} : { ifNotExists }),
      })
      if (options.json === true) terminal.print(JSON.stringify({ ...topicJson(topic), created }))
      else terminal.note(`topic ${name} ${created ? 'is created' : 'exists'}: ${configText(topic)}`)
    })
}

function trimCommand(terminal: Terminal): Command {
  return listed('trim', 'remove the oldest records of a partition, for good')
    .argument('<TOPIC>')
    .requiredOption('--partition <P>', 'the partition', text => parseCount(text, '--partition', 0))
    .requiredOption('--before <OFFSET>', 'records below this offset go', text => parseCount(text, '--before', 0))
    .action(async (name: string, options: TrimOptions) => {
      const { partition, before } = options
      const logStart = await trimPartition(urlsFrom(options.url), name, partition, before)
      if (options.json === true) terminal.print(JSON.stringify({ topic: name, partition, logStart }))
      else terminal.note(`${name}/${partition} starts at offset ${logStart}`)
    })
}

function configText({ config, partitions }: Topic): string {
  const retentionMs = Number(config?.retentionMs ?? 0)
  const retentionBytes = Number(config?.retentionBytes ?? 0)
  const age = retentionMs === 0 ? 'no limit of age' : `kept ${formatDuration(retentionMs)}`
  const size = retentionBytes === 0 ? '' : `, the oldest go above ${formatBytes(retentionBytes)} per partition`
  return `${partitions.length} partitions, replication ${config?.replication ?? 0}, ${age}${size}`
}

function printTopics(terminal: Terminal, topics: readonly Topic[]): void {
  const columns = [
    { title: 'topic' },
    { title: 'partitions', align: 'right' as const },
    { title: 'replication', align: 'right' as const },
    { title: 'retention', align: 'right' as const },
    { title: 'records', align: 'right' as const },
  ]
  const rows = topics.map(topic => {
    const retentionMs = Number(topic.config?.retentionMs ?? 0)
    return [
      topic.name,
      String(topic.partitions.length),
      String(topic.config?.replication ?? 0),
      retentionMs === 0 ? 'none' : formatDuration(retentionMs),
      formatCount(recordsOf(topic)),
    ]
  })
  for (const line of tableLines(columns, rows)) terminal.print(line)
}

function printTopic(terminal: Terminal, topic: Topic): void {
  terminal.print(`${terminal.paint('bold', topic.name)}: ${configText(topic)}`)
  const columns = [
    { title: 'partition', align: 'right' as const },
    { title: 'leader', align: 'right' as const },
    { title: 'term', align: 'right' as const },
    { title: 'replicas' },
    { title: 'log start', align: 'right' as const },
    { title: 'high watermark', align: 'right' as const },
  ]
  const rows = topic.partitions.map(partition => [
    String(partition.partition),
    partition.leaderNode === 0 ? terminal.paint('red', 'none') : String(partition.leaderNode),
    String(partition.term),
    partition.nodes.join(' '),
    String(partition.logStartOffset),
    String(partition.highWatermark),
  ])
  for (const line of tableLines(columns, rows)) terminal.print(line)
}

function recordsOf(topic: Topic): number {
  return topic.partitions.reduce(
    (sum, { highWatermark, logStartOffset }) => sum + Number(highWatermark - logStartOffset),
    0,
  )
}

/** A topic as `--json` prints it. */
function topicJson({ name, config, partitions }: Topic): object {
  return {
    name,
    partitions: partitions.map(partition => ({
      partition: partition.partition,
      leader: partition.leaderNode === 0 ? null : partition.leaderNode,
      term: Number(partition.term),
      nodes: partition.nodes,
      logStart: Number(partition.logStartOffset),
      highWatermark: Number(partition.highWatermark),
    })),
    replication: config?.replication ?? 0,
    retentionMs: Number(config?.retentionMs ?? 0),
    retentionBytes: Number(config?.retentionBytes ?? 0),
  }
}
