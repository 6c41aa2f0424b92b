/** The three processes of examples/kv, with a link of its own from each to each, and everything that may happen to them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  freePorts,
  type LinkState,
  TcpProxy,
  type TemporaryFolder,
  temporaryFolder,
  type WaitOptions,
  waitFor,
} from '../end-to-end/testkit.ts'

/** The example's own program. */
export const KEY_VALUE_MAIN: string = join(import.meta.dirname, '../../examples/kv/src/main.ts')

const TIMEOUT_MS = 40_000
/** For a node that is stopped and does not answer. */
const ASK_TIMEOUT_MS = 500

export const NODES: readonly number[] = [1, 2, 3]

/** `cut`, `stalled`: as {@link LinkState}; `deaf`: others hear this node, and it does not hear them. */
export type NodeLinks = 'open' | 'cut' | 'stalled' | 'deaf'

interface Link {
  readonly from: number
  readonly to: number
  readonly link: TcpProxy
}

export class KeyValueProcesses {
  readonly #main: string
  readonly #folder: TemporaryFolder
  readonly #links: readonly Link[]
  readonly #httpPorts: readonly number[]
  readonly #running = new Map<number, ChildProcess>()
  /** What the processes have said. */
  output = ''
  /** Processes that ended by themselves. */
  readonly failures: string[] = []

  private constructor(main: string, folder: TemporaryFolder, links: readonly Link[], httpPorts: readonly number[]) {
    this.#main = main
    this.#folder = folder
    this.#links = links
    this.#httpPorts = httpPorts
  }

  /** Founds the cluster; resolves when all agree about its leader. */
  static async found(main: string = KEY_VALUE_MAIN): Promise<KeyValueProcesses> {
    const folder = temporaryFolder('kv')
    const ports = await freePorts(6)
    const pairs = NODES.flatMap(from => NODES.filter(to => to !== from).map(to => ({ from, to })))
    const links = await Promise.all(
      pairs.map(async pair => ({ ...pair, link: await TcpProxy.to(ports[pair.to - 1]!) })),
    )
    const httpPorts = ports.slice(3)
    for (const own of NODES) {
      const node = (id: number): object => ({
        peers: links.find(({ from, to }) => from === own && to === id)?.link.address ?? `127.0.0.1:${ports[own - 1]}`,
        http: `127.0.0.1:${httpPorts[id - 1]}`,
      })
      const nodes = Object.fromEntries(NODES.map(id => [id, node(id)]))
      writeFileSync(join(folder.path, `${own}.json`), JSON.stringify({ clusterId: 'kv-test', nodes }))
    }
    const processes = new KeyValueProcesses(main, folder, links, httpPorts)
    for (const id of NODES) processes.start(id, '--init')
    try {
      await processes.leaderOf(NODES)
    } catch (error) {
      await processes[Symbol.asyncDispose]()
      throw error
    }
    return processes
  }

  url(id: number): string {
    return `http://127.0.0.1:${this.#httpPorts[id - 1]}`
  }

  start(id: number, ...more: readonly string[]): void {
    const { path } = this.#folder
    const args = ['--id', String(id), '--data', join(path, String(id)), '--cluster', join(path, `${id}.json`), ...more]
    const child = spawn(process.execPath, ['--conditions=millrace-source', this.#main, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.output += `${id}: ${text}`
    })
    // It ends by SIGKILL alone.
    child.once('exit', code => {
      if (code !== null) this.failures.push(`node ${id} ended with ${code}`)
    })
    this.#running.set(id, child)
  }

  signal(id: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running.get(id)!.kill(signal)
  }

  /** Resolves when the process is gone. */
  async kill(id: number): Promise<void> {
    const child = this.#running.get(id)!
    this.#running.delete(id)
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  /** What becomes of everything between this node and the others. */
  links(id: number, state: NodeLinks): void {
    for (const { from, to, link } of this.#links) {
      if (from === id) link.set(state === 'deaf' ? 'stalledBack' : state)
      if (to === id) link.set(state === 'deaf' ? 'stalledThere' : state)
    }
  }

  /** The leader that all of these agree about, and that is one of them. */
  leaderOf(ids: readonly number[]): Promise<number> {
    return waitFor(
      async () => {
        const answers = await Promise.all(ids.map(id => this.#leaderSeenBy(id)))
        const [first] = answers
        return first !== undefined && ids.includes(first) && answers.every(answer => answer === first) && first
      },
      this.waiting(`a leader of ${ids.join()}`),
    )
  }

  /** Options for `waitFor`; the message has what the processes have said by then. */
  waiting(what: string): WaitOptions {
    const said = (): string => this.output
    return {
      ...{ timeoutMs: TIMEOUT_MS, everyMs: 20 },
      get what() {
        return `${what}\n${said()}`
      },
    }
  }

  async #leaderSeenBy(id: number): Promise<number> {
    const response = await fetch(this.url(id), { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) })
    return ((await response.json()) as { leader: number }).leader
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.keys()].map(id => this.kill(id)))
    await Promise.all(this.#links.map(({ link }) => link.close()))
    this.#folder[Symbol.dispose]()
  }
}
