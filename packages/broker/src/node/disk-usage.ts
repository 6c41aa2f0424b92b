/**
 * Bytes below a data folder, for people who look at it. Walks the folder at most once per `REFRESH_MS`, and only when
 * somebody asks: the answer is the last walk's.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

const REFRESH_MS = 2_000

export class DiskUsage {
  readonly #folder: string
  #bytes = 0
  #walkedAt = Number.NEGATIVE_INFINITY
  #walking = false

  constructor(folder: string) {
    this.#folder = folder
  }

  /** As of the last walk; 0 until the first has ended. */
  get bytes(): number {
    if (!this.#walking && performance.now() - this.#walkedAt > REFRESH_MS) void this.refresh()
    return this.#bytes
  }

  /** Walks now. Never rejects: files come and go while it walks. */
  async refresh(): Promise<void> {
    this.#walking = true
    let bytes = 0
    const entries = await readdir(this.#folder, { recursive: true, withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      if (!entry.isFile()) continue
      const stats = await stat(join(entry.parentPath, entry.name)).catch(() => undefined)
      // Blocks, not size: files are prepared ahead and mapped sparsely.
      if (stats !== undefined) bytes += stats.blocks * 512
    }
    this.#bytes = bytes
    this.#walkedAt = performance.now()
    this.#walking = false
  }
}
