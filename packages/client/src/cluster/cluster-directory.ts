/**
 * What the client believes about the cluster: which nodes there are, which topics with how many partitions, and who
 * leads them. Beliefs come from any node that answers and from NOT_LEADER errors; they may be stale, which costs a
 * redirect and never correctness. One question per topic is under way at a time.
 */
import type { Partition } from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import type { Connection, ConnectionPool } from './connection.ts'
import { rpcError, type Sent } from './rpc-error.ts'

/** How calls find their node: leaders directly, or any given URL (behind a load balancer), where nodes pass calls on. */
export type Routing = 'leader' | 'any'

export interface TopicView {
  readonly name: string
  readonly partitions: number
  /** When it was asked for, by the clock of `performance.now`. */
  readonly at: number
  /** Base URL of each partition's leader; undefined: not known. */
  readonly leaderUrls: (string | undefined)[]
  /** Base URLs of each partition's replicas, where the node that answered holds none and so knows nothing of a leader. */
  readonly replicaUrls: readonly (readonly string[])[]
}

export interface DirectoryOptions {
  readonly urls: readonly string[]
  readonly routing: Routing
  /** Patience with one node, in ms, before the next is asked. */
  readonly callTimeoutMs: number
}

export class ClusterDirectory {
  readonly #pool: ConnectionPool
  readonly #options: DirectoryOptions
  /** Client URL by node id. */
  #nodes = new Map<number, string>()
  readonly #topics = new Map<string, TopicView>()
  readonly #lookups = new Map<string, Promise<TopicView>>()
  /** How often some replica had to be asked, by topic and partition. */
  readonly #turns = new Map<string, number>()
  /** URLs to ask: given ones first, then found ones. The one that answered last is asked first. */
  #urls: string[]
  #closed: MillraceError | undefined

  constructor(pool: ConnectionPool, options: DirectoryOptions) {
    this.#pool = pool
    this.#options = options
    this.#urls = [...options.urls]
  }

  get routing(): Routing {
    return this.#options.routing
  }

  /** What is known of a topic without asking. */
  known(topic: string): TopicView | undefined {
    return this.#topics.get(topic)
  }

  /** @throws UNKNOWN_TOPIC, UNREACHABLE, CANCELLED */
  async topic(topic: string, signal?: AbortSignal): Promise<TopicView> {
    return this.#topics.get(topic) ?? (await this.refresh(topic, signal))
  }

  /** Asks again, even if something is known. */
  refresh(topic: string, signal?: AbortSignal): Promise<TopicView> {
    let lookup = this.#lookups.get(topic)
    if (lookup === undefined) {
      lookup = this.#describe(topic).finally(() => this.#lookups.delete(topic))
      this.#lookups.set(topic, lookup)
    }
    return signal === undefined ? lookup : untilAborted(lookup, signal)
  }

  forget(topic: string): void {
    this.#topics.delete(topic)
  }

  /** Base URL to turn to for a partition: its leader, or a replica that can say who leads. Undefined: not now. */
  async leaderUrl(topic: string, partition: number, signal?: AbortSignal): Promise<string | undefined> {
    if (this.#options.routing === 'any') return this.#urls[0]
    const known = this.#topics.get(topic)?.leaderUrls[partition]
    if (known !== undefined) return known
    const view = await this.refresh(topic, signal)
    const { leaderUrls, partitions } = view
    if (partition < partitions) return leaderUrls[partition] ?? this.#replicaUrl(view, partition)
    throw new MillraceError('UNKNOWN_PARTITION', `${topic} has partitions 0 to ${partitions - 1}, not ${partition}`)
  }

  /** Another one each time: any of them may be gone. */
  #replicaUrl({ name, replicaUrls }: TopicView, partition: number): string | undefined {
    const urls = replicaUrls[partition] ?? []
    const key = `${name}/${partition}`
    const turn = this.#turns.get(key) ?? 0
    if (urls.length > 0) this.#turns.set(key, turn + 1)
    return urls[turn % urls.length]
  }

  /** A broker said who leads. */
  noteLeader(topic: string, partition: number, url: string): void {
    const view = this.#topics.get(topic)
    if (view !== undefined && partition < view.partitions) view.leaderUrls[partition] = url
  }

  /** This URL does not lead the partition, or does not answer. */
  doubtLeader(topic: string, partition: number, url: string): void {
    const view = this.#topics.get(topic)
    if (view?.leaderUrls[partition] === url) view.leaderUrls[partition] = undefined
    // Asked last from now on: it may be gone.
    if (this.#urls[0] === url) this.#urls = [...this.#urls.slice(1), url]
  }

  /**
   * Makes a call that any node answers, on the first one that does.
   *
   * @throws the broker's error; UNREACHABLE, naming the URLs, where none answers
   */
  call<T>(make: AnyCall<T>, signal?: AbortSignal): Promise<T> {
    return this.#callAny(make, 'not-sent', signal)
  }

  /**
   * Makes a call that must not be made twice: another node is asked only if the first has not seen it.
   *
   * @throws as `call`; CONNECTION_LOST, with outcome unknown, where nobody can tell whether it was done
   */
  callOnce<T>(make: AnyCall<T>, signal?: AbortSignal): Promise<T> {
    return this.#callAny(make, 'sent', signal)
  }

  async #callAny<T>(make: AnyCall<T>, sent: Sent, signal: AbortSignal = new AbortController().signal): Promise<T> {
    if (this.#closed !== undefined) throw this.#closed
    const tried: string[] = []
    let last: MillraceError | undefined
    for (const url of this.#urls) {
      try {
        const result = await make(this.#pool.get(url), { signal, timeoutMs: this.#options.callTimeoutMs })
        this.#prefer(url)
        return result
      } catch (reason) {
        last = rpcError(reason, sent)
        if (signal.aborted) throw cancelled(signal)
        if (!OTHER_NODE_MAY_HELP.has(last.code)) throw last
        if (sent === 'sent' && last.outcome === 'unknown') throw last
        tried.push(`${url} (${last.message})`)
      }
    }
    throw new MillraceError('UNREACHABLE', `no broker answers: ${tried.join(', ')}`, { cause: last })
  }

  /** Refuses every call from now on with `reason`. */
  close(reason: MillraceError): void {
    this.#closed = reason
  }

  #prefer(url: string): void {
    if (this.#urls[0] !== url) this.#urls = [url, ...this.#urls.filter(other => other !== url)]
  }

  async #describe(name: string): Promise<TopicView> {
    const { topic } = await this.call(({ topics }, options) => topics.describeTopic({ name }, options))
    if (topic === undefined) throw new MillraceError('INTERNAL', `a broker describes ${name} with nothing`)
    const partitions = topic.partitions.toSorted((a, b) => a.partition - b.partition)
    const named = partitions.flatMap(partition => nodesToAsk(partition))
    if (this.#options.routing === 'leader' && named.some(node => !this.#nodes.has(node))) await this.#learnNodes()
    const leaderUrls = partitions.map(({ leaderNode }) => this.#nodes.get(leaderNode))
    const replicaUrls = partitions.map(partition => nodesToAsk(partition).flatMap(node => this.#nodes.get(node) ?? []))
    const view: TopicView = { name, partitions: partitions.length, at: performance.now(), leaderUrls, replicaUrls }
    this.#topics.set(name, view)
    return view
  }

  async #learnNodes(): Promise<void> {
    const { nodes } = await this.call(({ cluster }, options) => cluster.describeCluster({}, options))
    this.#nodes = new Map(nodes.filter(node => node.clientUrl !== '').map(node => [node.node, node.clientUrl]))
    const found = [...this.#nodes.values()].filter(url => !this.#urls.includes(url))
    this.#urls.push(...found)
  }
}

/**
 * The leader where the node that answered knows one. A node that holds a replica (its term is above 0) and knows none is
 * to be asked again: there is an election. Who holds none knows only where the replicas are.
 */
function nodesToAsk({ leaderNode, nodes, term }: Pick<Partition, 'leaderNode' | 'nodes' | 'term'>): readonly number[] {
  if (leaderNode !== 0) return [leaderNode]
  return term === 0n ? nodes : []
}

/** A call on whichever node it is given. */
export type AnyCall<T> = (
  connection: Connection,
  options: { readonly signal: AbortSignal; readonly timeoutMs: number },
) => Promise<T>

/** Codes after which another node may know better. */
const OTHER_NODE_MAY_HELP: ReadonlySet<string> = new Set([
  'UNREACHABLE',
  'CONNECTION_LOST',
  'APPEND_TIMEOUT',
  'NO_LEADER',
  'NOT_LEADER',
  'LEADER_STARTING',
  'SHUTTING_DOWN',
  'LEADERSHIP_LOST',
  // Of the other side: our own signal is looked at before. Something there speaks no HTTP/2.
  'CANCELLED',
])

/** The error of a call whose signal fired: the reason itself where it is one of ours. */
export function cancelled(signal: AbortSignal): MillraceError {
  if (signal.reason instanceof MillraceError) return signal.reason
  return new MillraceError('CANCELLED', 'the caller gave up', { cause: signal.reason, outcome: 'not_stored' })
}

/** The promise, or CANCELLED as soon as the signal fires. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw cancelled(signal)
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(cancelled(signal))
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
