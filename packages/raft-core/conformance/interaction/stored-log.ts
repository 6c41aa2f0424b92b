/** The log and the state machine of a scripted node. The state is everything applied, appended to one string. */
import type { Configuration, Entry, SnapshotMeta } from '../../src/index.ts'
import { EMPTY_CONFIGURATION } from '../../src/membership/changer.ts'
import type { Payload } from './ready.ts'

export class StoredLog {
  base: { index: number; term: number }
  entries: Entry<Payload>[] = []
  content: string
  configuration: Configuration
  /** After each applied entry; the first is what the node was born from. */
  newestSnapshot: SnapshotMeta<Payload> | undefined

  constructor(born: SnapshotMeta<Payload> | undefined) {
    this.base = { index: born?.index ?? 0, term: born?.term ?? 0 }
    this.content = born?.payload?.data ?? ''
    this.configuration = born?.configuration ?? EMPTY_CONFIGURATION
    this.newestSnapshot = born
  }

  get firstIndex(): number {
    return this.base.index + 1
  }

  get lastIndex(): number {
    return this.base.index + this.entries.length
  }

  append(entries: readonly Entry<Payload>[]): void {
    const first = entries[0]
    if (first === undefined) return
    this.entries.length = first.index - this.firstIndex
    this.entries.push(...entries)
  }

  install(snapshot: SnapshotMeta<Payload>): void {
    this.base = { index: snapshot.index, term: snapshot.term }
    this.entries = []
    this.content = snapshot.payload?.data ?? ''
    this.configuration = snapshot.configuration
    this.newestSnapshot = snapshot
  }

  apply(entry: Entry<Payload>): SnapshotMeta<Payload> {
    if (entry.kind === 'normal') this.content += entry.payload?.data ?? ''
    this.configuration = entry.config?.result ?? this.configuration
    this.newestSnapshot = {
      index: entry.index,
      term: entry.term,
      configuration: this.configuration,
      payload: { data: this.content },
    }
    return this.newestSnapshot
  }

  /** Drops everything up to and including `index`. */
  compact(index: number): void {
    const term = this.entries[index - this.firstIndex]?.term
    if (term === undefined) throw new Error('requested index is unavailable due to compaction')
    this.entries = this.entries.slice(index - this.base.index)
    this.base = { index, term }
  }
}
