/**
 * Founding a group from nothing, by all its nodes together: each asks all others what they have of the group.
 *
 * Must never found over what exists: neither over data of this node, nor where another node has a group that works. A node
 * that lost its disk looks new to itself, and has promised things; the others remember.
 *
 *     absent ──▶ founding ── all others are founding or born ──▶ born ── all others are born ──▶ open
 *
 * A replica is born only when every founding node is there to be born too, and is opened only when every one is. So a group
 * that works is one whose nodes have all been founded: who finds one, and has nothing, lost it.
 */
import type { GroupLog, LogStore } from '@millrace/log-store'
import { crc32, MillraceError } from '@millrace/record'
import { BIRTH_INDEX } from './birth-record.ts'
import { birthGroup, birthOf, type GroupFounding } from './group-founding.ts'
import type { Clock } from './node.ts'
import type { GroupPresence, Transport } from './transport.ts'

export interface BootstrapOptions {
  /** For all founding nodes to be there. Default 60,000. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 60_000
const ASK_AGAIN_MS = 100

export interface GroupBootstrapOptions {
  readonly nodeId: number
  readonly store: LogStore
  readonly transport: Pick<Transport, 'describeGroup'>
  readonly clock: Clock
  /** The replica runs, or ran in this process: something may have been voted. */
  readonly isOpen: (group: number) => boolean
}

export class GroupBootstrap {
  readonly #options: GroupBootstrapOptions
  /** Groups that are being founded, with the checksum of their birth. */
  readonly #founding = new Map<number, number>()

  constructor(options: GroupBootstrapOptions) {
    this.#options = options
  }

  /** What this node has of a group. */
  presence(group: number): GroupPresence {
    const log = this.#log(group)
    if (log !== undefined)
      return { state: this.#isAsBorn(log) ? 'born' : 'live', birth: checksumOf(log.recovered.base) }
    if (this.#options.store.refused().some(refused => refused.group === group)) return { state: 'live', birth: 0 }
    const birth = this.#founding.get(group)
    return birth === undefined ? { state: 'absent', birth: 0 } : { state: 'founding', birth }
  }

  /** @see RaftNode.bootstrap */
  async found(
    founding: Omit<GroupFounding, 'nodeId'>,
    { timeoutMs = TIMEOUT_MS }: BootstrapOptions,
  ): Promise<GroupLog> {
    const { nodeId, store, clock } = this.#options
    const { group } = founding
    const own = { ...founding, nodeId }
    const birth = checksumOf(birthOf(own).base)
    const found = this.presence(group)
    if (found.state === 'founding') throw refused(group, 'it is being founded here already')
    if (found.state === 'live') throw refused(group, 'this node has it already; nothing was changed')
    if (found.state === 'born' && found.birth !== birth)
      throw refused(group, 'this node has another one of that number')
    const untilMs = clock.monotonicMs() + timeoutMs
    this.#founding.set(group, birth)
    try {
      await this.#others(
        own,
        birth,
        untilMs,
        found.state === 'born' ? ['founding', 'born', 'live'] : ['founding', 'born'],
      )
      const log = this.#log(group) ?? (await birthGroup(store, own))
      await this.#others(own, birth, untilMs, ['born', 'live'])
      return log
    } finally {
      this.#founding.delete(group)
    }
  }

  #log(group: number): GroupLog | undefined {
    return this.#options.store.groups().find(log => log.group === group)
  }

  #isAsBorn({ group, recovered, end }: GroupLog): boolean {
    if (this.#options.isOpen(group)) return false
    return recovered.base.index === BIRTH_INDEX && end.index === BIRTH_INDEX && recovered.ballot.term === 0
  }

  /** Waits until every other founding node is in one of these states. */
  async #others(
    { group, nodes, nodeId }: GroupFounding,
    birth: number,
    untilMs: number,
    states: readonly GroupPresence['state'][],
  ): Promise<void> {
    const { clock } = this.#options
    for (let missing = nodes.filter(node => node !== nodeId); ; ) {
      const asked = await Promise.all(missing.map(async node => ({ node, presence: await this.#ask(node, group) })))
      for (const { node, presence } of asked) {
        if (presence !== undefined) checkOther(group, node, presence, birth, states)
      }
      missing = asked.filter(({ presence }) => !states.includes(presence?.state ?? 'absent')).map(({ node }) => node)
      if (missing.length === 0) return
      if (clock.monotonicMs() >= untilMs) throw refused(group, `nodes ${missing.join(', ')} were not there to found it`)
      await new Promise<void>(resolve => clock.setTimer(ASK_AGAIN_MS, resolve))
    }
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

/** @throws MillraceError where that node makes the founding impossible */
function checkOther(
  group: number,
  node: number,
  { state, birth: other }: GroupPresence,
  birth: number,
  states: readonly GroupPresence['state'][],
): void {
  if (state === 'live' && !states.includes('live')) {
    const advice = 'a node that lost its disk, or comes later, joins it under a new replica id'
    throw refused(group, `node ${node} has it already: ${advice}. Nothing was changed`)
  }
  if (state !== 'absent' && other !== birth) {
    throw refused(group, `node ${node} has or founds another one of that number: other nodes, or another cluster`)
  }
}

function refused(group: number, reason: string): MillraceError {
  return new MillraceError('INVALID_ARGUMENT', `group ${group} cannot be founded: ${reason}`)
}

/** Of what a group was born from: the same on every founding node, and no other group's. */
function checksumOf({ chain, configuration }: GroupLog['base']): number {
  const bytes = new Uint8Array(configuration.length + 4)
  new DataView(bytes.buffer).setUint32(0, chain)
  bytes.set(configuration, 4)
  return crc32(bytes)
}
