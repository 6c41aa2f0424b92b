/** `millrace cluster lost-range`: goes on without records that no replica can read any more. Loud on purpose. */
import { type GiveUpRangeResponse, GiveUpRangeResponseSchema } from '@millrace/proto'
import { Command, Option } from 'commander'
import { CliError } from '../cli-error.ts'
import { askAny, call } from '../cluster/node-api.ts'
import { EXIT } from '../exit-code.ts'
import { formatCount, parseCount } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { jsonOption, urlOption, urlsFrom } from './common-options.ts'

interface LostRangeFlags {
  readonly url?: string
  readonly json?: boolean
  readonly without: readonly number[]
  readonly acceptDataLoss?: boolean
}

const HIGHEST_NODE = 65_535
/** Every replica is asked, and the entry that says so is committed. */
const TIMEOUT_MS = 30_000

export function lostRangeCommand(terminal: Terminal): Command {
  return new Command('lost-range')
    .description('give up records that are damaged on every replica, so that their partition goes on without them')
    .argument('<TOPIC>', 'name of the topic')
    .argument('<PARTITION>', 'number of the partition', (text: string) => parseCount(text, 'PARTITION', 0))
    .addOption(
      new Option('--without <NODE>', 'a node that is gone for good, and need not be asked; may be repeated')
        .argParser((text: string, sofar: readonly number[]) => [...sofar, parseCount(text, 'NODE', 1, HIGHEST_NODE)])
        .default([], 'none'),
    )
    .option('--accept-data-loss', 'do it; without this, only show what would be given up')
    .addOption(jsonOption())
    .addOption(urlOption())
    .action((topic: string, partition: number, flags: LostRangeFlags) => lostRange(terminal, topic, partition, flags))
}

async function lostRange(terminal: Terminal, topic: string, partition: number, flags: LostRangeFlags): Promise<void> {
  const { without, acceptDataLoss = false } = flags
  const request = { topic, partition, without: [...without], acceptDataLoss }
  const method = 'ClusterService/GiveUpRange'
  const given = await askAny(urlsFrom(flags.url), url =>
    call(url, method, GiveUpRangeResponseSchema, request, undefined, TIMEOUT_MS),
  )
  if (flags.json === true)
    terminal.print(JSON.stringify({ topic, partition, ...jsonOf(given), givenUp: acceptDataLoss }))
  else printRange(terminal, `${topic}/${partition}`, given, acceptDataLoss)
  if (!acceptDataLoss) throw refusal(topic, partition, without)
}

function jsonOf({ firstOffset, nextOffset, entries }: GiveUpRangeResponse): object {
  return {
    firstOffset: Number(firstOffset),
    nextOffset: Number(nextOffset),
    firstEntry: Number(entries?.first ?? 0n),
    lastEntry: Number(entries?.last ?? 0n),
  }
}

function printRange(terminal: Terminal, name: string, given: GiveUpRangeResponse, isGivenUp: boolean): void {
  const { firstOffset, nextOffset, entries } = given
  const records = formatCount(Number(nextOffset - firstOffset))
  const what = `${name}: ${records} records, from offset ${firstOffset} to before ${nextOffset}`
  terminal.print(terminal.paint('red', `${what} (entries ${entries?.first ?? 0n} to ${entries?.last ?? 0n})`))
  for (const line of isGivenUp ? GIVEN_UP : WHAT_IS_LOST) terminal.print(line)
}

const WHAT_IS_LOST = [
  'No replica that was asked can read them, and none has a state that is past them. They were acknowledged; they are lost.',
  'The partition goes on behind them, with the same offsets. It forgets its producers: one that goes on begins a new epoch,',
  'and a retry from before ends as unknown. Reads of these offsets get RANGE_DAMAGED, with the offset where to go on.',
]

const GIVEN_UP = [
  'They are given up: the partition goes on behind them. Keep the folders: what is damaged is still in them.',
]

function refusal(topic: string, partition: number, without: readonly number[]): CliError {
  const nodes = without.map(node => ` --without ${node}`).join('')
  return new CliError(
    `nothing was changed: start every node that may still have them, then say millrace cluster lost-range ${topic} ${partition}${nodes} --accept-data-loss`,
    EXIT.usage,
  )
}
