/** The three processes of examples/kv with clients, and what happens to them: a history to be checked comes out of it. */
import { waitFor } from '../end-to-end/testkit.ts'
import { checkLinearizable, type LinearizabilityVerdict } from './check-linearizable.ts'
import { KeyValueClients } from './kv-clients.ts'
import { KeyValueProcesses, NODES } from './kv-processes.ts'
import type { RegisterOperation } from './register-history.ts'

const KEYS = ['a', 'b', 'c', 'd']
const WRITERS = 4

export class KeyValueRun {
  readonly processes: KeyValueProcesses
  readonly clients: KeyValueClients

  private constructor(processes: KeyValueProcesses, clients: KeyValueClients) {
    this.processes = processes
    this.clients = clients
  }

  /** Founds a cluster; clients write anywhere, and read on each node in both ways. */
  static async start(seed: number, main?: string): Promise<KeyValueRun> {
    const processes = await KeyValueProcesses.found(main)
    const clients = new KeyValueClients(KEYS, seed)
    for (const id of NODES) {
      clients.reader(id, processes.url(id), 'index')
      clients.reader(id, processes.url(id), 'lease')
    }
    const urls = NODES.map(id => processes.url(id))
    for (let i = 1; i <= WRITERS; i++) clients.writer(`writer ${i}`, urls)
    return new KeyValueRun(processes, clients)
  }

  check(): LinearizabilityVerdict {
    return checkLinearizable(this.clients.history)
  }

  /** Waits for so many more acknowledged writes. */
  async progress(writes: number = 30): Promise<void> {
    const { clients, processes } = this
    const wanted = clients.acknowledged + writes
    await waitFor(() => clients.acknowledged >= wanted, processes.waiting(`${writes} writes`))
    clients.check()
    if (processes.failures.length > 0) throw new Error(`${processes.failures.join()}\n${processes.output}`)
  }

  /** Reads each key on a node, in both ways, all at a time: over connections of their own, which stay open for a while. */
  async readsOf(id: number): Promise<void> {
    const { clients, processes } = this
    const modes = ['lease', 'index'] as const
    const reads = KEYS.flatMap(key => modes.map(mode => clients.read(`${mode} of ${id}`, processes.url(id), key, mode)))
    await Promise.all(reads)
  }

  /** Reads each key on each node, when nothing else is under way any more. */
  async lastReads(): Promise<readonly RegisterOperation[]> {
    const { clients, processes } = this
    await clients.finish()
    const from = clients.history.length
    for (const id of NODES) {
      for (const key of KEYS) {
        const read = (): Promise<unknown> => clients.read(`last reader ${id}`, processes.url(id), key, 'index')
        await waitFor(read, processes.waiting(`${key} from node ${id}`))
      }
    }
    return clients.history.slice(from)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clients[Symbol.asyncDispose]()
    await this.processes[Symbol.asyncDispose]()
  }
}
