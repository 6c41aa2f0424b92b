/**
 * One node of a cluster on this machine: a `millrace serve` process on a lifeline, that can be killed and started again
 * on the same folder and ports.
 */
import { CliError } from '../cli-error.ts'
import { type Child, describeExit, type Exit, startChild } from '../process/child.ts'
import { millrace } from '../process/entry-point.ts'
import { LIFELINE_FD } from '../process/lifeline.ts'
import { waitFor } from '../process/wait-for.ts'
import { isReady } from './node-api.ts'
import type { NodeLayout } from './node-layout.ts'

/** How long a node may take from its start until it serves; replaying a long log takes its time. */
const READY_TIMEOUT_MS = 60_000

export class NodeProcess {
  readonly layout: NodeLayout
  private child: Child | undefined

  constructor(layout: NodeLayout) {
    this.layout = layout
  }

  get node(): number {
    return this.layout.node
  }

  /** The client URL. */
  get url(): string {
    return this.layout.clientUrl
  }

  get running(): boolean {
    return this.child?.running === true
  }

  /** Settles when the newest run ends. */
  get exited(): Promise<Exit | undefined> {
    return this.child?.exited ?? Promise.resolve(undefined)
  }

  /** Process id of the newest run; 0 before the first. */
  get pid(): number {
    return this.child?.pid ?? 0
  }

  /** Starts the process; does not wait until it serves. */
  async start(): Promise<void> {
    if (this.running) throw new Error(`node ${this.node} is running`)
    const { configFile, logFile } = this.layout
    const entry = millrace('serve', '--config', configFile, '--lifeline-fd', String(LIFELINE_FD))
    this.child = await startChild({ entry, logFile, env: withoutSettings(process.env) })
  }

  /**
   * Resolves when the node serves.
   *
   * @throws CliError with the node's own last words when it ends instead
   */
  async ready(signal?: AbortSignal): Promise<void> {
    const { child, layout } = this
    await waitFor(() => (child?.running === true ? isReady(layout.adminUrl) : true), {
      what: `node ${layout.node} to serve (its log is ${layout.logFile})`,
      timeoutMs: READY_TIMEOUT_MS,
      signal,
    })
    if (child?.running !== true) throw new CliError(await this.describeEnd())
  }

  /** Sends a signal; false when the process has ended already. */
  kill(signal: NodeJS.Signals): boolean {
    return this.child?.kill(signal) ?? false
  }

  /** SIGKILL; resolves when the process is gone. */
  async crash(): Promise<void> {
    this.child?.kill('SIGKILL')
    await this.child?.exited
  }

  /** SIGTERM, SIGKILL after `graceMs`; resolves when the process is gone. */
  async stop(graceMs: number = 10_000): Promise<Exit | undefined> {
    return await this.child?.stop(graceMs)
  }

  /** Starts it again where it has ended, and waits until it serves. */
  async restart(): Promise<void> {
    await this.start()
    await this.ready()
  }

  /** Why the process is no longer there, in one line. */
  async describeEnd(): Promise<string> {
    const { child } = this
    if (child === undefined) return `node ${this.node} was not started`
    const exit = await child.exited
    const words = child.lastWords().replace(/^millrace: /, '')
    return `node ${this.node} ended with ${describeExit(exit)}${words === '' ? `; its log is ${child.logFile}` : `: ${words}`}`
  }
}

/** Variables of the caller must not change the settings that a config file of ours makes. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('MILLRACE_')))
}
