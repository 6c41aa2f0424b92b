/**
 * The newest entries of a log, contiguous and by reference. Never copies a payload. What leaves the window at its old
 * end is on disk and is fetched from there when it is needed again.
 */
import type { Entry, LogIndex } from '../entry.ts'

export class EntryWindow<P> {
  /** Entries from `#head` on are in the window; the places before it hold nothing. */
  #items: (Entry<P> | undefined)[] = []
  #head = 0
  #first: LogIndex
  #bytes = 0

  /** @param first index of the first entry that will be in the window */
  constructor(first: LogIndex) {
    this.#first = first
  }

  /** Index of the first entry in the window, or of the next one to be appended when it is empty. */
  get first(): LogIndex {
    return this.#first
  }

  /** Index after the last entry. */
  get end(): LogIndex {
    return this.#first + this.#items.length - this.#head
  }

  get bytes(): number {
    return this.#bytes
  }

  get(index: LogIndex): Entry<P> | undefined {
    return index < this.#first ? undefined : this.#items[this.#head + index - this.#first]
  }

  /** Appends entries that follow the last one. */
  append(entries: readonly Entry<P>[], from = 0): void {
    for (let i = from; i < entries.length; i++) {
      this.#items.push(entries[i]!)
      this.#bytes += entries[i]!.size
    }
  }

  /** Drops everything at or above `index`; from below the window on, the window starts anew at `index`. */
  truncateFrom(index: LogIndex): void {
    if (index <= this.#first) {
      this.restart(index)
      return
    }
    while (this.end > index) this.#bytes -= this.#items.pop()!.size
  }

  /** Empties the window; the next entry will have index `first`. */
  restart(first: LogIndex): void {
    this.#items = []
    this.#head = 0
    this.#first = first
    this.#bytes = 0
  }

  /** Drops everything at or below `index`. */
  dropTo(index: LogIndex): void {
    if (index + 1 >= this.end) {
      if (index >= this.#first) this.restart(index + 1)
      return
    }
    while (this.#first <= index) this.#dropFirst()
    this.#shrink()
  }

  /** Drops old entries at or below `durable` until the window holds at most `bytesMax`. */
  evict(durable: LogIndex, bytesMax: number): void {
    while (this.#bytes > bytesMax && this.#first <= durable && this.#head < this.#items.length) this.#dropFirst()
    this.#shrink()
  }

  /**
   * Entries [from, to) of at most `bytesMax` together, but at least one. `from` must be in the window; the result is
   * short where the window ends.
   */
  slice(from: LogIndex, to: LogIndex, bytesMax: number): Entry<P>[] {
    const start = this.#head + from - this.#first
    const stop = Math.min(this.#items.length, start + to - from)
    let end = start
    let bytes = 0
    while (end < stop) {
      bytes += this.#items[end]!.size
      if (bytes > bytesMax && end > start) break
      end++
    }
    return this.#items.slice(start, end) as Entry<P>[]
  }

  /** The entry is free at once, its place in the array later. */
  #dropFirst(): void {
    this.#bytes -= this.#items[this.#head]!.size
    this.#items[this.#head++] = undefined
    this.#first++
  }

  /** The dropped part of the array goes once it is the larger one: constant work per entry. */
  #shrink(): void {
    if (this.#head > 0 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
  }
}

/** Bytes of all `entries` together. */
export function bytesOf(entries: readonly { readonly size: number }[]): number {
  let bytes = 0
  for (const entry of entries) bytes += entry.size
  return bytes
}
