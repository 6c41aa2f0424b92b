/**
 * Gives up what nobody has, at an operator's word, and takes a replica past what was given up.
 *
 * Never gives up what any replica that is not said to be gone could still give: each is asked anew for the entries, and for a
 * state that is past them. Never passes over entries that no committed entry gives up.
 */
import type { GroupLog, Hole } from '@millrace/log-store'
import type { LogIndex } from '@millrace/raft-core'
import { MillraceError } from '@millrace/record'
import type { FrameAnswer } from './frame-calls.ts'
import { encodeLostRange, findLostRange, type LostRange } from './lost-range.ts'
import type { Clock } from './node.ts'
import type { StateAnswer } from './state-calls.ts'

/** Between two looks at whether the entry is committed and passed. */
const LOOK_AGAIN_MS = 20

/** Entries that are given up, with the records in them. */
export interface GivenUp extends LostRange {
  /** Of the first record in them. */
  readonly firstOffset: number
}

export interface SurrenderPeer {
  readonly replica: number
  readonly node: number
}

export interface DamageSurrenderOptions {
  readonly log: GroupLog
  readonly clock: Pick<Clock, 'setTimer' | 'monotonicMs'>
  readonly patienceMs: number
  /** The hole that apply has come to; undefined where it waits for none. */
  readonly hole: () => Hole | undefined
  readonly commit: () => LogIndex
  readonly applied: () => LogIndex
  readonly leads: () => boolean
  /** A configuration that is in force may be in a hole. */
  readonly hidesConfiguration: () => boolean
  readonly peers: () => readonly SurrenderPeer[]
  readonly askFrames: (peer: SurrenderPeer, hole: Hole) => Promise<FrameAnswer['status']>
  readonly askState: (peer: SurrenderPeer, least: LogIndex) => Promise<StateAnswer>
  /** @returns index of the entry, or why it is not taken */
  readonly propose: (payload: Uint8Array) => LogIndex | string
  /** The entries of the hole count as applied: an entry at `givenUpAt` says so. */
  readonly pass: (hole: Hole, givenUpAt: LogIndex) => void
}

export class DamageSurrender {
  readonly #options: DamageSurrenderOptions
  #looking = false
  /** Nothing up to here gives up the hole that begins there. */
  #looked = { first: 0, to: 0 }

  constructor(options: DamageSurrenderOptions) {
    this.#options = options
  }

  /** Takes this replica past a hole that was given up, if its log says so. */
  async lookAhead(): Promise<void> {
    const { hole: holeNow, log, commit, applied, hidesConfiguration, pass } = this.#options
    const hole = holeNow()
    if (hole === undefined || this.#looking || hidesConfiguration()) return
    this.#looking = true
    try {
      const to = Math.min(commit(), log.durable.index)
      const first = hole.before.index + 1
      const from = this.#looked.first === first ? this.#looked.to + 1 : hole.last.index + 1
      const found = await findLostRange(log, hole, from, to)
      this.#looked = { first, to: found === undefined ? Math.max(to, from - 1) : found.header.index - 1 }
      // Meanwhile the hole may have been repaired, or a state has come.
      const isSame = holeNow()?.last.index === hole.last.index && applied() === hole.before.index
      if (found !== undefined && isSame) pass(hole, found.header.index)
    } finally {
      this.#looking = false
    }
  }

  /**
   * What would be given up, when everybody has said that they do not have it.
   *
   * @param without nodes that are gone for good
   * @throws MillraceError INVALID_ARGUMENT, NOT_LEADER, REPLICA_BEHIND
   */
  async examine(without: readonly number[]): Promise<GivenUp> {
    const { hole: holeNow, leads, peers } = this.#options
    if (!leads()) throw new MillraceError('NOT_LEADER', 'only the leader can give up entries')
    const hole = holeNow()
    if (hole === undefined) {
      throw new MillraceError('INVALID_ARGUMENT', 'the leader waits for no damaged entry: there is nothing to give up')
    }
    for (const peer of peers()) if (!without.includes(peer.node)) await this.#ask(peer, hole)
    const { before, last } = hole
    const [firstOffset, nextOffset] = [before.nextOffset, last.nextOffset]
    return { first: before.index + 1, last: last.index, firstOffset, nextOffset }
  }

  /**
   * Gives it up. Resolves when the entry that says so is committed and apply has gone on.
   *
   * @throws as {@link examine}; MillraceError LEADERSHIP_LOST where nobody can tell what became of the entry
   */
  async giveUp(without: readonly number[]): Promise<GivenUp> {
    const range = await this.examine(without)
    const { propose, applied, clock, patienceMs } = this.#options
    const proposed = propose(encodeLostRange(range))
    if (typeof proposed === 'string') throw new MillraceError('NOT_LEADER', proposed)
    const deadlineMs = clock.monotonicMs() + patienceMs
    while (applied() < proposed) {
      await new Promise<void>(resolve => void clock.setTimer(LOOK_AGAIN_MS, resolve))
      await this.lookAhead()
      if (clock.monotonicMs() > deadlineMs) {
        const message = `entry ${proposed}, which gives up entries ${range.first} to ${range.last}, may be committed or not; look again`
        throw new MillraceError('LEADERSHIP_LOST', message)
      }
    }
    return range
  }

  async #ask(peer: SurrenderPeer, hole: Hole): Promise<void> {
    const refuse = (why: string): never => {
      throw new MillraceError('REPLICA_BEHIND', `nothing was given up: node ${peer.node} ${why}`)
    }
    try {
      const frames = await this.#options.askFrames(peer, hole)
      if (frames === 'frames' || frames === 'busy') refuse('has the entries, or may have: they are fetched from there')
      const state = await this.#options.askState(peer, hole.last.index)
      if (state === 'coming') refuse('has a state that is past them: it is fetched from there')
    } catch (error) {
      if (error instanceof MillraceError) throw error
      refuse(`cannot be asked (${String(error)}): start it, or say that it is gone for good`)
    }
  }
}
