/**
 * The configurations in force at the indexes a snapshot could have: at the log's base, and everywhere above it. After a
 * restart there can be a gap: the state machine may be ahead of the base, and changes in between are not applied again. A
 * configuration is never guessed across the gap; see {@link ConfigurationHistory.at}.
 */
import type { InitialState } from '../config.ts'
import type { Configuration } from '../configuration.ts'
import type { LogIndex } from '../entry.ts'

export interface DatedConfiguration {
  /** Where it took effect. */
  readonly index: LogIndex
  readonly configuration: Configuration
}

interface Known extends DatedConfiguration {
  /** It is in force at least up to here, unless a later one is known. */
  readonly until: LogIndex
}

export class ConfigurationHistory {
  /** Rising by index. */
  #known: Known[] = []

  constructor(initial: InitialState<unknown>) {
    const { base, baseConfiguration, baseConfigurationIndex, configuration, configurationIndex, applied } = initial
    if (baseConfiguration !== undefined && configurationIndex > base.index) {
      // Every change above `applied` will be applied, and recorded then.
      const until = applied <= base.index ? Number.POSITIVE_INFINITY : base.index
      this.record({ index: baseConfigurationIndex ?? base.index, configuration: baseConfiguration }, until)
    }
    this.record({ index: configurationIndex, configuration })
  }

  /** The index of the newest configuration in force, or of the snapshot that it came with. */
  get newestIndex(): LogIndex {
    return this.#known[this.#known.length - 1]!.index
  }

  /** @param until in force at least up to here; default: up to the next one that is recorded */
  record(dated: DatedConfiguration, until: LogIndex = Number.POSITIVE_INFINITY): void {
    const { index, configuration } = dated
    const at = this.#known.findLastIndex(known => known.index <= index)
    const same = this.#known[at]?.index === index
    if (same && this.#known[at]!.until >= until) return
    this.#known.splice(same ? at : at + 1, same ? 1 : 0, { index, configuration, until })
  }

  /** The newest one is `dated` from now on; what was in force between `knownTo` and its index is not known. */
  jump(dated: DatedConfiguration, knownTo: LogIndex): void {
    const newest = this.#known.pop()!
    this.#known.push({ ...newest, until: Math.min(newest.until, knownTo) })
    this.#known.push({ ...dated, until: Number.POSITIVE_INFINITY })
  }

  restart(dated: DatedConfiguration): void {
    this.#known = [{ ...dated, until: Number.POSITIVE_INFINITY }]
  }

  /** The configuration in force at `index`; undefined where this replica cannot know. */
  at(index: LogIndex): DatedConfiguration | undefined {
    const known = this.#known.findLast(entry => entry.index <= index)
    return known !== undefined && index <= known.until ? known : undefined
  }

  /** Forgets what only mattered below `base`. */
  dropBelow(base: LogIndex): void {
    const keep = this.#known.findLastIndex(entry => entry.index <= base)
    if (keep > 0) this.#known = this.#known.slice(keep)
  }
}
