/**
 * Segments that nobody needs any more, kept as space for new ones: writing over blocks that a file has already spares the
 * file system the change of a size, which costs large rounds most of their time. Figures:
 * docs/decisions/0012-trimmed-segments-as-space.md.
 *
 * A file comes here from the trash, once its time there is over, and leaves to become a segment of any group. Nothing in
 * it is believed: rounds carry the salt of their segment. What a process leaves here the next one deletes.
 */
import { type Disk, errnoOf, removeIfThere } from './disk.ts'

export const SPARE_FOLDER = 'spare'

export interface SpareLimits {
  readonly segmentBytesMax: number
  /** Frames of one round: by about as much a segment may be longer. */
  readonly roundBytesMax: number
  /** Files kept. 0: none. */
  readonly spareSegmentsMax: number
}

interface Spare {
  readonly path: string
  readonly bytes: number
}

export class SpareSegments {
  readonly #disk: Disk
  readonly #folder: string
  readonly #limits: SpareLimits
  readonly #hasSpace: () => boolean
  #spares: Spare[] = []
  /** Of moves that are under way. */
  #coming = 0
  #count = 0

  /** @param hasSpace false while the disk is too full to keep anything that is not needed */
  constructor(disk: Disk, storeFolder: string, limits: SpareLimits, hasSpace: () => boolean) {
    this.#disk = disk
    this.#folder = `${storeFolder}/${SPARE_FOLDER}`
    this.#limits = limits
    this.#hasSpace = hasSpace
  }

  /** Deletes what an earlier process left. */
  async open(): Promise<void> {
    await this.#disk.makeFolder(this.#folder)
    for (const name of await this.#disk.list(this.#folder)) await this.#disk.removeFile(`${this.#folder}/${name}`)
  }

  /**
   * Takes the file at `path`, where it is worth it: there is room for one more, it is about as long as a full segment, and
   * no other name leads to it.
   *
   * @returns whether it was taken; where not, it is still where it was
   */
  async offer(path: string): Promise<boolean> {
    if (!this.#hasSpace() || this.#spares.length + this.#coming >= this.#limits.spareSegmentsMax) return false
    this.#coming++
    try {
      const bytes = await this.#usableBytes(path)
      if (bytes === 0) return false
      const spare = { path: `${this.#folder}/${this.#count++}`, bytes }
      await this.#disk.rename(path, spare.path)
      this.#spares.push(spare)
      return true
    } finally {
      this.#coming--
    }
  }

  /** Moves a spare file to `path`. @returns its size in bytes; 0: there is none */
  async take(path: string): Promise<number> {
    const spare = this.#spares.pop()
    if (spare === undefined) return 0
    try {
      await this.#disk.rename(spare.path, path)
      return spare.bytes
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return 0
      throw error
    }
  }

  /** Gives the space back to the disk. */
  async clear(): Promise<void> {
    for (let spare = this.#spares.pop(); spare !== undefined; spare = this.#spares.pop())
      await removeIfThere(this.#disk, spare.path)
  }

  async #usableBytes(path: string): Promise<number> {
    const { segmentBytesMax, roundBytesMax } = this.#limits
    const file = await this.#disk.open(path, 'read')
    try {
      const bytes = await file.size()
      const isFull = bytes >= segmentBytesMax / 2 && bytes <= segmentBytesMax + roundBytesMax
      // A copy made of hard links would be written over with the file.
      return isFull && (await file.names()) === 1 ? bytes : 0
    } finally {
      await file.close()
    }
  }
}
