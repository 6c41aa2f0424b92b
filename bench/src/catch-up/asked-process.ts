/** A child process that answers requests over its IPC channel, each once, and says with answer 0 that it is there. */
import { type ChildProcess, fork } from 'node:child_process'

export interface Answer {
  /** Of the request. */
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

export class AskedProcess {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  readonly #exited: Promise<void>
  #asked = 0

  private constructor(child: ChildProcess, name: string) {
    this.#child = child
    child.on('message', (answer: Answer) => this.#answered(answer))
    this.#exited = new Promise(resolve =>
      child.once('exit', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error(`${name} has ended`))
        this.#waiting.clear()
        resolve()
      }),
    )
  }

  /** Resolves when it is there. `setup` is its first argument, as JSON. */
  static async start(file: string, setup: object, name: string): Promise<AskedProcess> {
    const child = fork(new URL(file, import.meta.url), [JSON.stringify(setup)], { execArgv: process.execArgv })
    const asked = new AskedProcess(child, name)
    await new Promise((resolve, reject) => asked.#waiting.set(0, { resolve, reject }))
    return asked
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  ask(request: object): Promise<unknown> {
    const id = ++this.#asked
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.send({ id, ...request })
    })
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  #answered({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new Error(error))
  }
}
