/**
 * A file in two layers: what the process sees, and what would survive. Kept as the newest content and, for every sector
 * that was written since it was last durable, what the disk holds there; a write costs as much as it writes.
 */

const SECTOR_BYTES = 512

/** A uniform number in [0, 1). */
export type Random = () => number

/** What a loss of power does to what was never synced. */
export interface PowerLoss {
  /** Sectors where something durable was before may be garbage too: worse than assumed. */
  readonly garblesOverwrites: boolean
  /** False: either everything that was written is there or nothing, and no garbage. */
  readonly tears: boolean
}

export class TwoLayerFile {
  #bytes = new Uint8Array(0)
  #size = 0
  #durableSize = 0
  /** Somebody has a view of the bytes: the next write takes a copy. */
  #isLent = false
  /** By sector: the durable content of what was written since; null where there was none. */
  readonly #unsynced = new Map<number, Uint8Array | null>()
  /** Sectors that a failed sync gave up: visible, and never written by a later sync. */
  readonly #abandoned = new Map<number, Uint8Array | null>()
  /** Those of them that were given up before the file got its present name, and were not written since. */
  #stale: ReadonlySet<number> = new Set()

  get size(): number {
    return this.#size
  }

  /** What the process sees now: a view, through which it may be damaged, and which later writes leave alone. */
  get content(): Uint8Array {
    this.#isLent = true
    return this.#bytes.subarray(0, this.#size)
  }

  /** Copies what is seen from `position` on. @returns the bytes copied */
  read(into: Uint8Array, position: number): number {
    const bytes = this.#bytes.subarray(Math.min(position, this.#size), Math.min(position + into.length, this.#size))
    into.set(bytes)
    return bytes.length
  }

  /** Everything that was written since the file has its name would survive. */
  get isDurable(): boolean {
    return this.#unsynced.size === 0 && [...this.#abandoned.keys()].every(sector => this.#stale.has(sector))
  }

  /** The file gets another name: what a sync gave up under the old one is nothing that this one stands for. */
  rename(): void {
    this.#stale = new Set(this.#abandoned.keys())
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length
    for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++) this.#touch(sector)
    this.#grow(end)
    this.#bytes.set(bytes, position)
  }

  sync(): void {
    this.#unsynced.clear()
    this.#durableSize = this.#size
  }

  /** Makes the bytes [from, to) durable, with the size needed to read them. */
  syncRange(from: number, to: number): void {
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector++) {
      this.#unsynced.delete(sector)
    }
    this.#durableSize = Math.max(this.#durableSize, Math.min(to, this.#size))
  }

  /** A sync that failed: part of what it was for is durable, and of the rest nobody will ever try again. */
  failSync(random: Random): void {
    this.#stale = new Set([...this.#stale].filter(sector => !this.#unsynced.has(sector)))
    for (const [sector, before] of this.#unsynced) if (random() < 0.5) this.#abandoned.set(sector, before)
    this.#unsynced.clear()
    this.#durableSize = this.#size
  }

  losePower(random: Random, { garblesOverwrites, tears }: PowerLoss): void {
    this.#grow(this.#size)
    const all = random() < 0.5
    const size = all ? this.#size : this.#durableSize
    for (const [sector, before] of this.#unsynced) {
      const luck = tears ? random() : all ? 0 : 1
      if (luck < 0.5) continue
      if (luck < 0.7 && (before === null || garblesOverwrites)) this.#garble(sector, random)
      else this.#restore(sector, before)
    }
    for (const [sector, before] of this.#abandoned) this.#restore(sector, before)
    this.#abandoned.clear()
    this.#size = Math.max(size, this.#durableSize)
    this.#bytes.fill(0, this.#size)
    this.sync()
  }

  #touch(sector: number): void {
    if (this.#unsynced.has(sector)) return
    const abandoned = this.#abandoned.get(sector)
    this.#abandoned.delete(sector)
    this.#unsynced.set(sector, abandoned ?? this.#durableOf(sector))
  }

  #durableOf(sector: number): Uint8Array | null {
    const from = sector * SECTOR_BYTES
    return from < this.#durableSize ? this.#bytes.slice(from, Math.min(from + SECTOR_BYTES, this.#durableSize)) : null
  }

  #restore(sector: number, before: Uint8Array | null): void {
    const from = sector * SECTOR_BYTES
    this.#bytes.fill(0, from, from + SECTOR_BYTES)
    if (before !== null) this.#bytes.set(before, from)
  }

  #garble(sector: number, random: Random): void {
    const end = Math.min((sector + 1) * SECTOR_BYTES, this.#size)
    for (let at = sector * SECTOR_BYTES; at < end; at++) this.#bytes[at] = Math.floor(random() * 256)
  }

  #grow(end: number): void {
    if (end > this.#bytes.length || this.#isLent) {
      const isFull = end > this.#bytes.length
      const more = new Uint8Array(isFull ? Math.max(end, 2 * this.#bytes.length) : this.#bytes.length)
      more.set(this.#bytes.subarray(0, this.#size))
      this.#bytes = more
      this.#isLent = false
    }
    this.#size = Math.max(this.#size, end)
  }
}
