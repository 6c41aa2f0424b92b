/**
 * The `nats` command-line tool, which publishes in atomic batches: a process for each turn. What it sends is its own, and
 * says nothing of itself.
 */
import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Load, LoadProgram, ProgramFigures } from '../client.ts'
import { cpuMsOfEndedChildren } from '../process-figures.ts'
import { endingWithThisProcess } from '../server-process.ts'

const BATCH_MESSAGES = 500
/** Of the first run with values of some length, of which the rate is not known yet. */
const FIRST_MESSAGES = 5_000

/** Of the client, by the name that the table shows. */
export const NATS_CLI_WAY: string = `nats CLI, ${BATCH_MESSAGES}`

export interface NatsCliConfig {
  readonly binary: string
  /** For what it reports of a run; nobody else writes there. */
  readonly csv: string
}

export class NatsCli {
  readonly #config: NatsCliConfig
  /** By bytes of a value: it takes a number of messages, not a time. */
  readonly #messagesPerMs = new Map<number, number>()

  constructor(config: NatsCliConfig) {
    this.#config = config
  }

  /**
   * @param server that leads the stream
   * @param stream also the name of its subject
   */
  publisher(server: string, stream: string): LoadProgram {
    return {
      unstamped: true,
      run: load => this.#publish(['--server', server, '--no-context'], ['--stream', stream, stream], load),
      close: () => Promise.resolve(),
    }
  }

  async #publish(connection: readonly string[], place: readonly string[], load: Load): Promise<ProgramFigures> {
    const { binary, csv } = this.#config
    const bytes = load.template.length
    const what = ['--size', `${bytes}B`, '--msgs', String(this.#messagesFor(load)), '--batch', String(BATCH_MESSAGES)]
    const bench = ['bench', 'js', 'pub', 'batch', ...what, '--no-progress', '--csv', csv]
    rmSync(csv, { force: true })
    const [file = '', ...args] = endingWithThisProcess([binary, ...connection, ...bench, ...place])
    const cpuMs = cpuMsOfEndedChildren()
    await promisify(execFile)(file, args).catch((error: { readonly stderr?: string; readonly message: string }) => {
      throw new Error(`the nats tool: ${(error.stderr || error.message).trim().split('\n').at(-1)}`)
    })
    const published = publishedOf(readFileSync(csv, 'utf8'), bytes)
    this.#messagesPerMs.set(bytes, published.records / published.ms)
    return { ...published, cpuMs: cpuMsOfEndedChildren() - cpuMs }
  }

  /** Whole batches. */
  #messagesFor({ template, durationMs, recordsMax }: Load): number {
    const rate = this.#messagesPerMs.get(template.length)
    const wanted = Math.min(recordsMax, rate === undefined ? FIRST_MESSAGES : rate * durationMs)
    return Math.max(1, Math.floor(wanted / BATCH_MESSAGES)) * BATCH_MESSAGES
  }
}

/** From the table, with one row, of what it has done. The column of messages counts batches too, that of bytes does not. */
function publishedOf(csv: string, bytesEach: number): Pick<ProgramFigures, 'records' | 'ms'> {
  const [names = [], values = []] = csv.split('\n').map(line => line.split(','))
  const figure = (name: string): number => Number(values[names.indexOf(name)])
  const [records, ms] = [figure('MsgBytes') / bytesEach, figure('DurationSecs') * 1_000]
  if (!(Number.isSafeInteger(records) && ms > 0))
    throw new Error(`the nats tool has reported neither messages nor a time: ${csv}`)
  return { records, ms }
}
