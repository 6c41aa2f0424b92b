/**
 * Which configuration was in force at which index: a log that is trimmed, and a snapshot, have to say it of their index.
 *
 * After a start changes between the log's base and what was applied then are not seen again, except the newest. Nothing is
 * guessed across that gap.
 */
import type { LogIndex } from '@millrace/raft-core'
import type { GroupConfiguration } from './group-handle.ts'

export interface DatedConfiguration {
  /** Where it took effect. */
  readonly index: LogIndex
  readonly configuration: GroupConfiguration
}

export interface TrailStart {
  readonly baseIndex: LogIndex
  /** In force at the base. */
  readonly base: DatedConfiguration
  /** The newest that is known to be committed. */
  readonly newest: DatedConfiguration
  /** What the state held at the start. */
  readonly applied: LogIndex
}

export class ConfigurationTrail {
  /** Rising by index. */
  #known: DatedConfiguration[]
  #baseIndex: LogIndex
  /** From here on nothing is missing. */
  #completeFrom: LogIndex

  constructor({ baseIndex, base, newest, applied }: TrailStart) {
    this.#known = base.index === newest.index ? [newest] : [base, newest]
    this.#baseIndex = baseIndex
    this.#completeFrom = base.index === newest.index || applied <= baseIndex ? baseIndex : newest.index
  }

  /** A change has been applied. */
  applied(change: DatedConfiguration): void {
    const at = this.#known.findLastIndex(known => known.index <= change.index)
    if (this.#known[at]?.index !== change.index) this.#known.splice(at + 1, 0, change)
  }

  /** A state came from elsewhere: between what was applied here before and its configuration there may be others. */
  restored(change: DatedConfiguration, appliedBefore: LogIndex): void {
    this.applied(change)
    if (change.index > appliedBefore) this.#completeFrom = Math.max(this.#completeFrom, change.index)
  }

  /** The configuration in force at an applied index; undefined where it is not known, or the log does not reach back. */
  at(index: LogIndex): DatedConfiguration | undefined {
    if (index < this.#completeFrom && index !== this.#baseIndex) return undefined
    return this.#known.findLast(known => known.index <= index)
  }

  /** The log begins after `index` now, where `configuration` was in force. */
  restart(index: LogIndex, configuration: DatedConfiguration): void {
    this.#known = [configuration, ...this.#known.filter(known => known.index > Math.max(index, configuration.index))]
    this.#baseIndex = index
    this.#completeFrom = Math.max(index, this.#completeFrom)
  }
}
