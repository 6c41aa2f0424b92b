/** The benchmark's end of the probes: asks processes, by their id, to begin and to end a profile. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { Counts } from './counters.ts'
import { type Answer, PROBES_FOLDER, type Question, socketOf } from './probe-questions.ts'

export class Probes {
  readonly #folder: string

  /** @param folder for the sockets; a path of at most about 90 bytes, as the names of sockets are short */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** Lets every process that is started from now on, until the result is disposed of, have a probe. */
  install(): Disposable {
    const before: NodeJS.ProcessEnv = { ...process.env }
    const { NODE_OPTIONS: options } = before
    const probe = new URL('probe.ts', import.meta.url).href
    process.env.NODE_OPTIONS = [options, `--import=${probe}`].filter(Boolean).join(' ')
    process.env[PROBES_FOLDER] = this.#folder
    return {
      [Symbol.dispose]: () => {
        for (const name of ['NODE_OPTIONS', PROBES_FOLDER]) {
          if (before[name] === undefined) delete process.env[name]
          else process.env[name] = before[name]
        }
      },
    }
  }

  /** @throws Error where the process has no probe, ends, or cannot do it */
  async ask(pid: number, question: Question): Promise<Counts | undefined> {
    const socket = connect(socketOf(this.#folder, pid))
    try {
      await once(socket, 'connect')
      const lines = createInterface({ input: socket })
      socket.write(`${JSON.stringify(question)}\n`)
      const answered = once(lines, 'line') as Promise<[string]>
      const ended = once(socket, 'close').then(() => {
        throw new Error(`process ${pid} ended while it was asked to ${question.type}`)
      })
      const [line] = await Promise.race([answered, ended])
      const answer = JSON.parse(line) as Answer
      if (!answer.ok) throw new Error(`process ${pid} could not ${question.type}: ${answer.message}`)
      return answer.counts
    } finally {
      socket.destroy()
    }
  }
}
