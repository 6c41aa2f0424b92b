/**
 * Founding a group from nothing, by all its nodes together: each asks all others what they have of the group.
 *
 * Must never found over what exists: neither over data of this node, nor where another node has a group that works. A node
 * that lost its disk looks new to itself, and has promised things; the others remember.
 *
 *     absent ──▶ founding ── all others are founding or born ──▶ born ── all others are born ──▶ open
 *
 * A replica is born only when every founding node is there to be born too, and is opened only when every one is. So a group
 * that works is one whose nodes have all been founded: who finds one, and has nothing, lost it. And whatever was promised by
 * a replica that is lost needed another one that is open: while nobody says that the group works, nothing was promised.
 */
import type { GroupLog, LogStore } from '@millrace/log-store'
import { crc32, MillraceError } from '@millrace/record'
import { BIRTH_INDEX } from './birth-record.ts'
import { birthGroup, birthOf, type GroupFounding } from './group-founding.ts'
import type { Clock } from './node.ts'
import type { GroupPresence, Transport } from './transport.ts'

export interface BootstrapOptions {
  /** For all founding nodes to be there. Default 60,000; Infinity: for ever. */
  readonly timeoutMs?: number
  /** Ends the waiting: the founding is left as it is, and rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Called after each round of questions with the nodes that are not there yet; at most some twenty times a second. */
  readonly waiting?: (nodes: readonly number[]) => void
}

const TIMEOUT_MS = 60_000
const ASK_AGAIN_MS = 50
/** Who waits long asks less and less often, down to this. */
const ASK_AGAIN_LATE_MS = 1_000

/**
 * Why a group was not founded. `exists`: `node` has it already, and remembers what a second founding would forget.
 * `differs`: `node` has or founds another one under its number. `missing`: not all were there in time.
 */
export type FoundingRefusal = 'exists' | 'differs' | 'missing'

/** A group was not founded; nothing was changed here. */
export class FoundingError extends MillraceError {
  readonly refusal: FoundingRefusal
  /** The node that is in the way; undefined where nodes are missing. */
  readonly node: number | undefined

  constructor(group: number, refusal: FoundingRefusal, node: number | undefined, reason: string) {
    super('INVALID_ARGUMENT', `group ${group} cannot be founded: ${reason}`)
    this.refusal = refusal
    this.node = node
  }

  /** Not inherited: that one holds for every MillraceError. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof MillraceError && 'refusal' in value
  }
}

export interface GroupBootstrapOptions {
  readonly nodeId: number
  readonly store: LogStore
  readonly transport: Pick<Transport, 'describeGroup'>
  readonly clock: Clock
  /** Whether the group's founding is over, whatever its log says: something may have been voted. */
  readonly isLive: (group: number) => boolean
}

export class GroupBootstrap {
  readonly #options: GroupBootstrapOptions
  /** Groups that are being founded, with the checksum of their birth. */
  readonly #founding = new Map<number, number>()
  readonly #stopped = new AbortController()
  /** End the pauses of foundings that wait. */
  readonly #pauses = new Set<() => void>()

  constructor(options: GroupBootstrapOptions) {
    this.#options = options
  }

  /** Foundings that wait end now, with SHUTTING_DOWN. */
  stop(): void {
    this.#stopped.abort(new MillraceError('SHUTTING_DOWN', 'the node is stopping'))
  }

  /** A node has come: whoever waits asks again at once, and soon after that. */
  connected(): void {
    for (const end of [...this.#pauses]) end()
  }

  /** What this node has of a group. */
  presence(group: number): GroupPresence {
    const log = this.#log(group)
    if (log !== undefined) return { state: this.#isAsBorn(log) ? 'born' : 'live', birth: birthOfLog(log) }
    const isRefused = this.#options.store.refused().some(refused => refused.group === group)
    if (isRefused || this.#options.isLive(group)) return { state: 'live', birth: 0 }
    const birth = this.#founding.get(group)
    return birth === undefined ? { state: 'absent', birth: 0 } : { state: 'founding', birth }
  }

  /** @see RaftNode.bootstrap */
  async found(founding: Omit<GroupFounding, 'nodeId'>, options: BootstrapOptions): Promise<GroupLog> {
    const { nodeId, store, clock } = this.#options
    const { group } = founding
    const own = { ...founding, nodeId }
    const birth = checksumOf(birthOf(own).base)
    const found = this.presence(group)
    if (found.state === 'founding') throw differs(group, nodeId, 'it is being founded here already')
    if (found.state === 'live') throw exists(group, nodeId, 'this node has it already; nothing was changed')
    if (found.state === 'born' && found.birth !== birth)
      throw differs(group, nodeId, 'this node has another one of that number')
    const signals = options.signal === undefined ? [] : [options.signal]
    const wait: Wait = {
      untilMs: clock.monotonicMs() + (options.timeoutMs ?? TIMEOUT_MS),
      signal: AbortSignal.any([this.#stopped.signal, ...signals]),
      report: options.waiting ?? (() => undefined),
    }
    this.#founding.set(group, birth)
    try {
      if (found.state === 'born') await this.#others(own, birth, wait, ['founding', 'born', 'live'])
      else await this.#others(own, birth, wait, ['founding', 'born'])
      const log = this.#log(group) ?? (await birthGroup(store, own))
      await this.#others(own, birth, wait, ['born', 'live'])
      return log
    } finally {
      this.#founding.delete(group)
    }
  }

  #log(group: number): GroupLog | undefined {
    return this.#options.store.groups().find(log => log.group === group)
  }

  #isAsBorn({ group, recovered, end }: GroupLog): boolean {
    if (this.#options.isLive(group)) return false
    return recovered.base.index === BIRTH_INDEX && end.index === BIRTH_INDEX && recovered.ballot.term === 0
  }

  /** Waits until every other founding node is in one of these states, all in the same round of questions, or one is live. */
  async #others(
    { group, nodes, nodeId }: GroupFounding,
    birth: number,
    { untilMs, signal, report }: Wait,
    states: readonly GroupPresence['state'][],
  ): Promise<void> {
    const { clock } = this.#options
    const others = nodes.filter(node => node !== nodeId)
    for (let pauseMs = ASK_AGAIN_MS; ; ) {
      signal.throwIfAborted()
      const asked = await Promise.all(others.map(async node => ({ node, presence: await this.#ask(node, group) })))
      signal.throwIfAborted()
      for (const { node, presence } of asked) {
        if (presence !== undefined) checkOther(group, node, presence, birth, states)
      }
      // It was opened, so all had been born.
      if (asked.some(({ presence }) => presence?.state === 'live')) return
      const missing = asked.filter(({ presence }) => !states.includes(presence?.state ?? 'absent'))
      if (missing.length === 0) return
      const names = missing.map(({ node }) => node)
      if (clock.monotonicMs() >= untilMs) {
        throw new FoundingError(group, 'missing', undefined, `nodes ${names.join(', ')} were not there to found it`)
      }
      report(names)
      const cutShort = await this.#pause(pauseMs, signal)
      pauseMs = cutShort ? ASK_AGAIN_MS : Math.min(pauseMs * 1.5, ASK_AGAIN_LATE_MS)
    }
  }

  /** Resolves at once when the signal fires or a node has come. @returns whether it did before its time */
  #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise(resolve => {
      const end = (cutShort: boolean): void => {
        timer.cancel()
        signal.removeEventListener('abort', cut)
        this.#pauses.delete(cut)
        resolve(cutShort)
      }
      const cut = (): void => end(true)
      const timer = this.#options.clock.setTimer(ms, () => end(false))
      signal.addEventListener('abort', cut)
      this.#pauses.add(cut)
    })
  }

  /** Undefined where it does not answer now. */
  async #ask(node: number, group: number): Promise<GroupPresence | undefined> {
    try {
      return await this.#options.transport.describeGroup(node, group)
    } catch {
      // It is not there yet, or its answer was lost: it is asked again, and named if that goes on.
      return undefined
    }
  }
}

interface Wait {
  readonly untilMs: number
  readonly signal: AbortSignal
  readonly report: (nodes: readonly number[]) => void
}

/** @throws FoundingError where that node makes the founding impossible */
function checkOther(
  group: number,
  node: number,
  { state, birth: other }: GroupPresence,
  birth: number,
  states: readonly GroupPresence['state'][],
): void {
  if (state === 'live' && !states.includes('live')) {
    const advice = 'a node that lost its disk, or comes later, joins it under a new replica id'
    throw exists(group, node, `node ${node} has it already: ${advice}. Nothing was changed`)
  }
  // A group that has trimmed its log does not know any more what it was born from.
  const unknown = state === 'absent' || (state === 'live' && other === 0)
  if (!unknown && other !== birth) {
    throw differs(group, node, `node ${node} has or founds another one of that number: other nodes, or another cluster`)
  }
}

const exists = (group: number, node: number, reason: string): FoundingError =>
  new FoundingError(group, 'exists', node, reason)

const differs = (group: number, node: number, reason: string): FoundingError =>
  new FoundingError(group, 'differs', node, reason)

/** 0: it is not known any more. */
function birthOfLog({ recovered: { base } }: GroupLog): number {
  return base.index === BIRTH_INDEX ? checksumOf(base) : 0
}

/** Of what a group was born from: the same on every founding node, and no other group's. */
function checksumOf({ chain, configuration }: GroupLog['base']): number {
  const bytes = new Uint8Array(configuration.length + 4)
  new DataView(bytes.buffer).setUint32(0, chain)
  bytes.set(configuration, 4)
  return crc32(bytes)
}
