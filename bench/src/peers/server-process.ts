/** A server that the benchmark started: with its log, and ended by its process id alone. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const LAST_LINES = 12
const KILL_AFTER_MS = 5_000

export class ServerProcess {
  /** For messages. */
  readonly name: string
  readonly pid: number
  readonly #child: ChildProcess
  readonly #logFile: string
  readonly #exited: Promise<void>
  #running = true

  private constructor(name: string, child: ChildProcess, logFile: string) {
    this.name = name
    this.#child = child
    this.#logFile = logFile
    this.pid = child.pid ?? 0
    this.#exited = new Promise(resolve =>
      child.once('exit', () => {
        this.#running = false
        resolve()
      }),
    )
  }

  /**
   * Starts a program with its output in `logFile`. Ctrl-C does not reach it; where the system can, it is killed when this
   * process ends without having stopped it.
   */
  static async start(name: string, command: readonly string[], logFile: string): Promise<ServerProcess> {
    const [file = '', ...args] = endingWithThisProcess(command)
    const log = openSync(logFile, 'a')
    try {
      const child = spawn(file, args, { stdio: ['ignore', log, log], detached: true })
      await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
      return new ServerProcess(name, child, logFile)
    } finally {
      closeSync(log)
    }
  }

  /** @throws Error where it has ended */
  check(): void {
    if (!this.#running) throw new Error(`${this.name} has ended`)
  }

  /** The end of its log, for messages. */
  get lastLines(): string {
    return lastLines(this.#logFile)
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#running) this.#child.kill('SIGKILL')
    await this.#exited
  }

  /** SIGTERM, and SIGKILL where that does not end it soon. */
  async stop(): Promise<void> {
    if (this.#running) this.#child.kill('SIGTERM')
    await Promise.race([this.#exited, sleep(KILL_AFTER_MS, undefined, { ref: false })])
    await this.kill()
  }
}

/** The command so that the system kills it when this process ends before it, where the system can. */
export function endingWithThisProcess(command: readonly string[]): readonly string[] {
  return onPath('setpriv') ? ['setpriv', '--pdeathsig', 'KILL', '--', ...command] : command
}

/** Whether PATH has such a program. */
export function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some(folder => existsSync(join(folder, program)))
}

function lastLines(file: string): string {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []
  return lines.slice(-LAST_LINES).join('\n')
}
