/**
 * Whether nothing but heartbeats has happened to a group for a while, and every follower holds all that its leader has.
 *
 * Then a heartbeat's answer tells a leader nothing that it has to act on at once, so answers wait for the next tick, and
 * ticks gather: a quiet group has one part in a turn per two ticks instead of three per tick. Whatever else happens ends
 * the quiet before it is handled.
 */
import type { Message, RaftGroup } from '@millrace/raft-core'

/** Ticks without an event before the followers are looked at. */
const QUIET_TICKS = 2

export class Quietness {
  readonly #core: Pick<RaftGroup, 'status'>
  #ticks = 0
  #isQuiet = false

  get isQuiet(): boolean {
    return this.#isQuiet
  }

  constructor(core: Pick<RaftGroup, 'status'>) {
    this.#core = core
  }

  /** The message is an answer that can wait for the next tick. */
  mayWait(message: Message): boolean {
    return this.#isQuiet && isPlainAnswer(message)
  }

  /** A message is about to be stepped. */
  heard(message: Message): void {
    if (message.type !== 'heartbeat' && !isPlainAnswer(message)) this.disturb()
  }

  /** Something happened. */
  disturb(): void {
    this.#ticks = 0
    this.#isQuiet = false
  }

  tick(): void {
    this.#ticks += 1
    if (this.#ticks === QUIET_TICKS) this.#isQuiet = this.#allFollowersHaveAll()
  }

  #allFollowersHaveAll(): boolean {
    const { role, peers, lastIndex } = this.#core.status()
    return role === 'leader' && peers.every(peer => peer.match === lastIndex && peer.state === 'replicate')
  }
}

function isPlainAnswer(message: Message): boolean {
  return message.type === 'heartbeatResponse' && message.context === 0 && message.lostTail !== true
}
