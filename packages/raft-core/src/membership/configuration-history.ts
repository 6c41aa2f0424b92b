/**
 * The configurations in force at the indexes a snapshot could have: the newest one at or below the log's base, and every
 * later one that has been applied.
 */
import type { InitialState } from '../config.ts'
import type { Configuration } from '../configuration.ts'
import type { LogIndex } from '../entry.ts'

export interface DatedConfiguration {
  readonly index: LogIndex
  readonly configuration: Configuration
}

export class ConfigurationHistory {
  /** Rising by index. */
  #entries: DatedConfiguration[] = []

  constructor(initial: InitialState<unknown>) {
    const { base, baseConfiguration, configuration, configurationIndex } = initial
    if (baseConfiguration !== undefined && configurationIndex > base.index) {
      this.#entries.push({ index: base.index, configuration: baseConfiguration })
    }
    this.#entries.push({ index: configurationIndex, configuration })
  }

  /** The index of the newest applied configuration entry, or of the snapshot it came with. */
  get newestIndex(): LogIndex {
    return this.#entries[this.#entries.length - 1]!.index
  }

  applied(index: LogIndex, configuration: Configuration): void {
    this.#entries.push({ index, configuration })
  }

  restart(index: LogIndex, configuration: Configuration): void {
    this.#entries = [{ index, configuration }]
  }

  /** The configuration in force at `index`; undefined where nobody told this replica. */
  at(index: LogIndex): DatedConfiguration | undefined {
    return this.#entries.findLast(entry => entry.index <= index)
  }

  /** Forgets what only mattered below `base`. */
  dropBelow(base: LogIndex): void {
    const keep = this.#entries.findLastIndex(entry => entry.index <= base)
    if (keep > 0) this.#entries = this.#entries.slice(keep)
  }
}
