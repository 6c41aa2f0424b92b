/** Runs the `millrace` command as a process of its own and keeps what it says. */
import { type ChildProcess, spawn } from 'node:child_process'
import { type EntryPoint, millrace } from '@millrace/cli'

export interface CommandResult {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly cwd?: string
  /** Over the variables of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Written to stdin, which is then closed. */
  readonly input?: string | Uint8Array
  /** Run this program, with `millrace` and its arguments as the last of its own. */
  readonly under?: readonly string[]
}

export interface RunningCommand extends AsyncDisposable {
  readonly process: ChildProcess
  readonly pid: number
  /** What it has said so far. */
  readonly stdout: string
  readonly stderr: string
  readonly ended: Promise<CommandResult>
}

/** Starts `millrace` with these arguments. `await using` ends it with SIGKILL where it still runs. */
export function startMillrace(args: readonly string[], options: CommandOptions = {}): RunningCommand {
  const entry = wrapped(millrace(...args), options.under ?? [])
  const child = spawn(entry.file, [...entry.args], {
    stdio: 'pipe',
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // A command that ends without reading its input is no failure of the test.
  child.stdin.on('error', () => undefined).end(options.input ?? '')
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal, stdout, stderr }))
  })
  return {
    process: child,
    pid: child.pid ?? 0,
    get stdout() {
      return stdout
    },
    get stderr() {
      return stderr
    },
    ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Runs `millrace` to its end. */
export async function runMillrace(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return await startMillrace(args, options).ended
}

function wrapped(entry: EntryPoint, under: readonly string[]): EntryPoint {
  const [file, ...args] = under
  return file === undefined ? entry : { file, args: [...args, entry.file, ...entry.args] }
}
