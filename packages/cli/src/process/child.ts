/**
 * A child process on a lifeline. It has a process group of its own, so that Ctrl-C reaches only the command that started
 * it, which then decides what its children do. Signals go to exactly this process, and only while it is known to run:
 * a process id is never used after its exit was seen.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readSync, renameSync, statSync } from 'node:fs'
import type { EntryPoint } from './entry-point.ts'

/** Log files above this size are set aside (`.1`, one kept) before a child starts. */
const LOG_BYTES_MAX = 16 * 2 ** 20

export interface ChildOptions {
  readonly entry: EntryPoint
  /** stdout and stderr of the child are appended to this file. */
  readonly logFile: string
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Receives the messages of a child that has an IPC channel; giving one makes the channel. */
  readonly onMessage?: (message: unknown) => void
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class Child {
  readonly pid: number
  /** Settles when the process has ended, however it did. */
  readonly exited: Promise<Exit>
  readonly logFile: string
  private readonly process: ChildProcess
  private exit: Exit | undefined
  /** Where this run's output begins in the log file. */
  private readonly logStart: number

  constructor(process: ChildProcess, logFile: string, logStart: number) {
    this.process = process
    this.pid = process.pid ?? 0
    this.logFile = logFile
    this.logStart = logStart
    this.exited = new Promise(resolve =>
      process.once('exit', (code, signal) => {
        this.exit = { code, signal }
        resolve(this.exit)
      }),
    )
  }

  get running(): boolean {
    return this.exit === undefined
  }

  /** Sends a signal; false when the process has ended already. */
  kill(signal: NodeJS.Signals): boolean {
    return this.exit === undefined && this.process.kill(signal)
  }

  /** Sends a message over the IPC channel. */
  send(message: object): void {
    if (this.exit === undefined && this.process.connected) this.process.send(message, ignoreClosedChannel)
  }

  /** SIGTERM, then SIGKILL after `graceMs`. */
  async stop(graceMs: number): Promise<Exit> {
    this.kill('SIGTERM')
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs)
    try {
      return await this.exited
    } finally {
      clearTimeout(timer)
    }
  }

  /** The last line of text that this run wrote; structured log lines do not count. */
  lastWords(): string {
    const lines = readFrom(this.logFile, this.logStart).split('\n')
    return lines.findLast(line => line.trim() !== '' && !line.startsWith('{'))?.trim() ?? ''
  }
}

// The child has gone: its exit tells more than a failed message would.
function ignoreClosedChannel(): void {}

/** Starts a child; rejects when the program cannot be run at all. */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { entry, logFile, cwd, onMessage } = options
  const log = openLog(logFile)
  try {
    const stdio: StdioOptions = ['ignore', log, log, 'pipe']
    if (onMessage !== undefined) stdio.push('ipc')
    const child = spawn(entry.file, [...entry.args], { cwd, stdio, detached: true, env: options.env ?? process.env })
    // Nobody writes to the lifeline; an error on it is the child's end, which `exited` reports.
    child.stdio[3]?.on('error', () => undefined)
    if (onMessage !== undefined) child.on('message', onMessage)
    const started = new Child(child, logFile, fstatSync(log).size)
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
    return started
  } finally {
    closeSync(log)
  }
}

function openLog(file: string): number {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (size > LOG_BYTES_MAX) renameSync(file, `${file}.1`)
  return openSync(file, 'a')
}

function readFrom(file: string, start: number): string {
  const fd = openSync(file, 'r')
  try {
    const length = Math.min(Math.max(0, fstatSync(fd).size - start), 65_536)
    const buffer = Buffer.alloc(length)
    const read = readSync(fd, buffer, 0, length, fstatSync(fd).size - length)
    return buffer.toString('utf8', 0, read)
  } finally {
    closeSync(fd)
  }
}

/** `exit code 1` or `SIGKILL`, for messages. */
export function describeExit(exit: Exit): string {
  return exit.signal ?? `exit code ${exit.code ?? 'unknown'}`
}
