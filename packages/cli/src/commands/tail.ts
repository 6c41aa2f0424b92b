/** `millrace tail`: the records of a topic on stdout. */
import type { ReadFrom } from '@millrace/client'
import { Command } from 'commander'
import { CliError, Interrupted } from '../cli-error.ts'
import { describeTopic } from '../cluster/topic-api.ts'
import { EXIT } from '../exit-code.ts'
import { stopSignal } from '../process/stop-signal.ts'
import { parseCount } from '../quantities.ts'
import { jsonLine, plainLine } from '../tail/record-text.ts'
import { type From, parseFrom } from '../tail/start-position.ts'
import { noteTroubles } from '../terminal/connection-notes.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption, urlOption, urlsFrom } from './common-options.ts'

interface TailFlags {
  readonly from?: From
  readonly partition?: number
  readonly count?: number
  /** Undefined: as the terminal is. */
  readonly follow?: boolean
  readonly json?: boolean
  readonly url?: string
}

export function tailCommand(terminal: Terminal): Command {
  return new Command('tail')
    .description('print records; follows on a terminal, and ends at the end of the log elsewhere')
    .argument('<TOPIC>')
    .option(
      '--from <POSITION>',
      'earliest, latest, an offset, a time (2026-11-21T08:00:00Z) or an age (90m) (default: latest when following, else earliest)',
      text => parseFrom(text),
    )
    .option('--partition <N>', 'of this partition only', text => parseCount(text, '--partition', 0))
    .option('-n, --count <N>', 'end after this many records', text => parseCount(text, '--count', 1))
    .option('-f, --follow', 'wait for new records')
    .option('--no-follow', 'end at the end of the log')
    .addOption(jsonOption('one JSON object per line, with position, key and headers'))
    .addOption(urlOption())
    .action((topic: string, flags: TailFlags) => tail(terminal, topic, flags))
}

async function tail(terminal: Terminal, name: string, flags: TailFlags): Promise<void> {
  const live = flags.follow ?? terminal.interactive
  const from = readFrom(flags.from ?? (live ? 'latest' : 'earliest'), flags.partition)
  const urls = urlsFrom(flags.url)
  using stop = stopSignal()
  // The SDK would wait for a cluster to come up; a person would rather know at once.
  await describeTopic(urls, name)
  // Loaded only here and in append: the other commands start without the SDK.
  const { bytes, connect } = await import('@millrace/client')
  await using client = connect(urls)
  using _notes = noteTroubles(client.status$, line => terminal.note(line))
  const topic = client.topic(name, { value: bytes })
  const partitions = flags.partition === undefined ? {} : { partitions: [flags.partition] }
  let left = flags.count ?? Number.POSITIVE_INFINITY
  try {
    for await (const batch of topic.read({ from, live, signal: stop.signal, ...partitions })) {
      const records = [...batch.records].slice(0, left)
      left -= records.length
      if (flags.json === true) await terminal.write(records.map(jsonLine).join(''))
      else await terminal.write(Buffer.concat(records.map(plainLine)))
      if (left <= 0) return
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error
  }
  if (stop.signal.aborted) throw new Interrupted()
}

function readFrom(from: From, partition: number | undefined): ReadFrom {
  if (typeof from === 'string' || 'time' in from) return from
  if (partition !== undefined) return { partition, offset: from.offset }
  throw new CliError('--from OFFSET needs --partition: offsets count within a partition', EXIT.usage)
}
