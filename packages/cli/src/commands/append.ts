/** `millrace append`: records from a file or stdin, one per line, into a topic. */
import { createReadStream, statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import type { Topic } from '@millrace/client'
import { Command } from 'commander'
import { type AppendBatch, type AppendCounts, appendStream } from '../append/append-stream.ts'
import { failedBatch } from '../append/failed-batch.ts'
import { CliError, describeError, exitCodeOf, Interrupted } from '../cli-error.ts'
import { describeTopic } from '../cluster/topic-api.ts'
import { EXIT } from '../exit-code.ts'
import { jsonRecord, plainRecord } from '../input/record-input.ts'
import { NEWLINE, NUL, splitRecords } from '../input/record-splitter.ts'
import { stopSignal } from '../process/stop-signal.ts'
import { formatBytes, formatCount } from '../quantities.ts'
import { noteTroubles } from '../terminal/connection-notes.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { urlOption, urlsFrom } from './common-options.ts'

interface AppendFlags {
  readonly json?: boolean
  readonly key?: string
  readonly null?: boolean
  readonly url?: string
}

const PROGRESS_MS = 250

export function appendCommand(terminal: Terminal): Command {
  return new Command('append')
    .description('append records from a file or stdin, one per line; a summary goes to stderr')
    .argument('<TOPIC>')
    .argument('[FILE]', 'default: stdin')
    .option('--json', 'records are JSON; the summary is JSON too')
    .option('--key <PATH>', 'take the key from this field of each JSON record, such as .user.id (implies --json)')
    .option('-0, --null', 'records end with a NUL byte instead of a line end')
    .addOption(urlOption())
    .action(async (topic: string, file: string | undefined, flags: AppendFlags) => {
      const started = performance.now()
      const counts = await append(terminal, topic, file, flags)
      summarize(terminal, topic, counts, (performance.now() - started) / 1000, flags.json === true)
    })
}

async function append(
  terminal: Terminal,
  name: string,
  file: string | undefined,
  flags: AppendFlags,
): Promise<AppendCounts & { readonly interrupted: boolean }> {
  const isJson = flags.json === true || flags.key !== undefined
  const parse = isJson ? jsonRecord(flags.key) : plainRecord
  const urls = urlsFrom(flags.url)
  const input = await openInput(terminal, file)
  using stop = stopSignal()
  stop.signal.addEventListener('abort', () => input.destroy())
  // The SDK would wait for a cluster to come up; a person would rather know at once.
  await describeTopic(urls, name)
  const { bytes, connect } = await import('@millrace/client')
  await using client = connect(urls)
  using _notes = noteTroubles(client.status$, line => terminal.note(line))
  const topic = client.topic(name, { value: bytes })
  const counts = await appendStream(splitRecords(input, { delimiter: flags.null === true ? NUL : NEWLINE }), {
    parse,
    append: appendTo(topic, isJson ? 'application/json' : ''),
    outcomeOf: failedBatch,
    signal: stop.signal,
    onProgress: progressLine(terminal),
  })
  terminal.live('')
  input.destroy()
  return { ...counts, interrupted: stop.signal.aborted }
}

function appendTo(topic: Topic<Uint8Array>, contentType: string): AppendBatch {
  return async records => {
    const counts = new Map<number, number>()
    for (const { partition } of await topic.appendMany(records.map(record => ({ ...record, contentType }))))
      counts.set(partition, (counts.get(partition) ?? 0) + 1)
    return [...counts].map(([partition, count]) => ({ partition, count }))
  }
}

/** On a terminal, a line that says how far it is, a few times a second. */
function progressLine(terminal: Terminal): (appended: number, bytes: number) => void {
  const started = performance.now()
  let shownAt = started
  return (appended, size) => {
    const now = performance.now()
    if (now - shownAt < PROGRESS_MS) return
    shownAt = now
    const rate = Math.round((appended * 1000) / (now - started))
    terminal.live(`${formatCount(appended)} records · ${formatBytes(size)} · ${formatCount(rate)}/s`)
  }
}

async function openInput(terminal: Terminal, file: string | undefined): Promise<Readable> {
  if (file === undefined || file === '-') {
    if (process.stdin.isTTY) terminal.note('millrace: reading records from the keyboard, one per line; Ctrl-D ends')
    return process.stdin
  }
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new CliError(`cannot read ${file}: it is a folder`, EXIT.usage)
  const stream = createReadStream(file, { highWaterMark: 256 * 1024 })
  await new Promise<void>((resolve, reject) => {
    stream.once('ready', resolve)
    stream.once('error', error =>
      reject(new CliError(`cannot read ${file}: ${error.message}`, EXIT.usage, { cause: error })),
    )
  })
  return stream
}

/** @throws CliError or Interrupted unless everything was appended */
function summarize(
  terminal: Terminal,
  topic: string,
  counts: AppendCounts & { readonly interrupted: boolean },
  seconds: number,
  json: boolean,
): void {
  const { appended, partitions, failed, bytes: size, error, interrupted } = counts
  if (json) {
    const summary = {
      topic,
      appended,
      bytes: size,
      seconds,
      partitions: Object.fromEntries(partitions),
      ...failedJson(failed),
    }
    terminal.note(JSON.stringify({ ...summary, ...(error === undefined ? {} : { error: describeError(error) }) }))
  } else {
    const spread = [...partitions].map(([partition, count]) => `${partition}: ${formatCount(count)}`).join(', ')
    const where = spread === '' ? '' : ` (partition ${spread})`
    const rate = seconds > 0 ? `, ${formatCount(Math.round(appended / seconds))}/s` : ''
    terminal.note(
      `appended ${formatCount(appended)} ${appended === 1 ? 'record' : 'records'} (${formatBytes(size)}) to ${topic}${where} in ${seconds.toFixed(2)} s${rate}`,
    )
  }
  if (error !== undefined)
    throw new CliError(`${failureText(failed)}${describeError(error)}`, exitCodeOf(error), { cause: error })
  if (interrupted) throw new Interrupted()
}

function failureText({ not_stored: notStored, unknown }: AppendCounts['failed']): string {
  if (notStored + unknown === 0) return 'stopped: '
  return `${formatCount(notStored)} not stored, ${formatCount(unknown)} unknown: `
}

function failedJson({ not_stored: notStored, unknown }: AppendCounts['failed']): object {
  return { notStored, unknown }
}
