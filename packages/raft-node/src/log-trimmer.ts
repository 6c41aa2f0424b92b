/**
 * Trims the log of one replica: behind what its state machine holds durably, and not beyond what a snapshot on its way, or
 * just arrived, needs to be followed by.
 */
import type { BaseRecord, GroupLog } from '@millrace/log-store'
import type { LogIndex, ReplicaId } from '@millrace/raft-core'
import { nextOffsetAfter } from '@millrace/record'
import { encodeGroupConfiguration } from './configuration-codec.ts'
import type { ConfigurationTrail } from './configuration-trail.ts'
import type { Clock } from './node.ts'

export interface LogTrimmerOptions {
  readonly log: GroupLog
  readonly trail: ConfigurationTrail
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly pinMs: number
  /** What a follower is known to have of the log; undefined where nothing is known, or it is no follower. */
  readonly matchOf: (follower: ReplicaId) => LogIndex | undefined
  /** The log begins there now. */
  readonly trimmed: (base: BaseRecord) => void
}

/** Keeps everything after an index in the log for one follower. */
export interface Pin {
  /**
   * The snapshot is there, or will not be: the follower has `pinMs` to go on from it, and as long again whenever it has come
   * nearer to where the log would be trimmed to. One that does not is behind for good; the log is not kept for it.
   */
  release(): void
}

interface PinState {
  /** What the follower has: entries after it stay. */
  index: LogIndex
  /** Infinity until it is released. */
  untilMs: number
  /** Entries from there to where the log would be trimmed to, when it was last asked for. */
  behind: number
}

export class LogTrimmer {
  readonly #options: LogTrimmerOptions
  readonly #pins = new Map<ReplicaId, PinState>()
  #trimming: Promise<unknown> = Promise.resolve()

  constructor(options: LogTrimmerOptions) {
    this.#options = options
  }

  /** In place of what was pinned for that follower before. */
  pin(follower: ReplicaId, index: LogIndex): Pin {
    const { clock, pinMs } = this.#options
    const pin: PinState = { index, untilMs: Number.POSITIVE_INFINITY, behind: 0 }
    this.#pins.set(follower, pin)
    return {
      release: () => {
        pin.untilMs = clock.monotonicMs() + pinMs
      },
    }
  }

  /** Resolves when trims that were asked for before now, and may know nothing of a new pin, are over. */
  async settled(): Promise<void> {
    await this.#trimming
  }

  /** Nothing is kept for anybody any more: somebody else leads. */
  unpin(): void {
    this.#pins.clear()
  }

  /**
   * Drops entries up to `index`, or fewer where they are pinned. What is dropped must be in a state that is durable.
   *
   * @returns index of the log's base afterwards
   */
  trimTo(index: LogIndex): Promise<LogIndex> {
    const next = this.#trimming.then(() => this.#trim(index))
    // Whoever asked hears of a failure; the next one tries anew.
    this.#trimming = next.catch(() => undefined)
    return next
  }

  async #trim(index: LogIndex): Promise<LogIndex> {
    const { log, trail, trimmed } = this.#options
    const to = Math.min(index, this.#pinnedAt(index), log.durable.index)
    const inForce = to > log.base.index ? trail.at(to) : undefined
    if (inForce === undefined) return log.base.index
    const base = await baseAt(log, to, inForce)
    await log.trimPrefix(base)
    trail.restart(to, inForce)
    trimmed(log.base)
    return log.base.index
  }

  /** @param wanted where the log would be trimmed to */
  #pinnedAt(wanted: LogIndex): LogIndex {
    let least = Number.POSITIVE_INFINITY
    for (const [follower, pin] of this.#pins) {
      if (this.#holds(pin, follower, wanted)) least = Math.min(least, pin.index)
      else this.#pins.delete(follower)
    }
    return least
  }

  #holds(pin: PinState, follower: ReplicaId, wanted: LogIndex): boolean {
    const { clock, matchOf, pinMs } = this.#options
    const nowMs = clock.monotonicMs()
    const isReleased = pin.untilMs < Number.POSITIVE_INFINITY
    if (isReleased) pin.index = Math.max(pin.index, matchOf(follower) ?? 0)
    const behind = wanted - pin.index
    const comesNearer = behind < pin.behind
    if (!isReleased || comesNearer) pin.behind = behind
    if (isReleased && comesNearer) pin.untilMs = nowMs + pinMs
    return pin.untilMs > nowMs
  }
}

/** What a log is that begins after `index`, an entry of it or its base. @throws LogError */
export async function baseAt(
  log: GroupLog,
  index: LogIndex,
  inForce: NonNullable<ReturnType<ConfigurationTrail['at']>>,
): Promise<BaseRecord> {
  if (index === log.base.index) return log.base
  const [frame] = await log.read(index, index + 1, 1)
  if (frame === undefined) throw new Error(`the log of group ${log.group} has no entry ${index}`)
  const { term, chain, timestamp } = frame.header
  return {
    ...{ index, term, chain, timestamp, nextOffset: nextOffsetAfter(frame.header), voidBelow: 0 },
    configuration: encodeGroupConfiguration(inForce.configuration),
    configurationIndex: inForce.index,
  }
}
