/**
 * Kafka's Java client, a process that stays: JavaClient.java. Lines of JSON in both directions, one order at a time:
 *
 *     open {topic, settings}                                                    → done
 *     produce {topic, partitions, template, durationMs, recordsMax}             → done {records, ms, cpuMs}
 *     close                                                                     → done
 *     consume {topic, settings, template, records, silenceMs}        → began, then done {records, ms, cpuMs, faults}
 *
 * or `failed {message}`. Bytes are base64.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { Faults } from '@millrace/cli/bench'
import type { BenchClient, LoadProgram, ProgramFigures } from '../client.ts'

const BATCH_BYTES: Readonly<Record<string, number>> = { 'java, 256 KiB': 262_144, 'java, 16 KiB': 16_384 }
const READ_WAY = 'java'

/** Of the client, by the names that the table shows. */
export const JAVA_WAYS: readonly string[] = [...Object.keys(BATCH_BYTES), READ_WAY]

/** By default, and where there are many partitions: each may fill a batch while others are under way. */
const BUFFER_BYTES = { default: 33_554_432, manyPartitions: 268_435_456 }

const PRODUCER = {
  acks: 'all',
  'enable.idempotence': true,
  'max.in.flight.requests.per.connection': 5,
  'linger.ms': 5,
}

/** More than its default of 1 MiB per partition, as the other clients here. */
const CONSUMER = { 'max.partition.fetch.bytes': 4 << 20, 'enable.auto.commit': false }

type JavaOrder = { readonly type: string; readonly [name: string]: unknown }

type JavaAnswer =
  | ({ readonly type: 'done' } & Record<string, unknown>)
  | { readonly type: 'began' }
  | { readonly type: 'failed'; readonly message: string }

/**
 * @param command starts the program, when it is first needed
 * @param partitionsOf counts the partitions of a topic
 */
export function javaPrograms(
  command: readonly string[],
  partitionsOf: (topic: string) => Promise<number>,
): Pick<BenchClient, 'loadPrograms' | 'readPrograms'> {
  let started: JavaProcess | undefined
  const java = (): JavaProcess => {
    started ??= new JavaProcess(command)
    return started
  }
  const producer = async (topic: string, batchBytes: number): Promise<LoadProgram> => {
    const bufferBytes = (await partitionsOf(topic)) === 1 ? BUFFER_BYTES.default : BUFFER_BYTES.manyPartitions
    const settings = { ...PRODUCER, 'batch.size': batchBytes, 'buffer.memory': bufferBytes }
    await java().carryOut({ type: 'open', topic, settings })
    return {
      run: async ({ template, partitions, durationMs, recordsMax }) => {
        const load = {
          partitions,
          durationMs,
          recordsMax: Math.floor(recordsMax),
          template: template.toString('base64'),
        }
        return (await java().carryOut({ type: 'produce', topic, ...load })) as unknown as ProgramFigures
      },
      close: async () => void (await java().carryOut({ type: 'close' })),
    }
  }
  const loads = Object.entries(BATCH_BYTES).map(([way, bytes]) => [way, (topic: string) => producer(topic, bytes)])
  return {
    loadPrograms: Object.fromEntries(loads),
    readPrograms: {
      [READ_WAY]: async (topic, { template, records, silenceMs }, onFirst) => {
        const expected = { records, silenceMs, template: template.toString('base64') }
        const order = { type: 'consume', topic, settings: CONSUMER, ...expected }
        return (await java().carryOut(order, onFirst)) as unknown as ProgramFigures & { readonly faults: Faults }
      },
    },
  }
}

class JavaProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  #said: (answer: JavaAnswer) => void = () => undefined
  #lost: (error: Error) => void = () => undefined
  #end: Error | undefined

  constructor([file = '', ...args]: readonly string[]) {
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.on('error', error => this.#ended(error))
    this.#child.on('exit', (code, signal) => this.#ended(new Error(`the Java client ended with ${code ?? signal}`)))
    this.#child.stdin.on('error', error => this.#ended(error))
    createInterface(this.#child.stdout).on('line', line => this.#said(JSON.parse(line) as JavaAnswer))
  }

  /** @returns what the program has done. @throws Error with what it said where it failed, or has ended */
  carryOut(order: JavaOrder, onBegan: () => void = () => undefined): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      this.#lost = reject
      this.#said = answer => {
        if (answer.type === 'began') onBegan()
        else if (answer.type === 'failed') reject(new Error(`the Java client: ${answer.message}`))
        else resolve(answer)
      }
      if (this.#end === undefined) this.#child.stdin.write(`${JSON.stringify(order)}\n`)
      else reject(this.#end)
    })
  }

  #ended(error: Error): void {
    this.#end ??= error
    this.#lost(this.#end)
  }
}
