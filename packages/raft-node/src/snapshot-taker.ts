/**
 * When a replica's snapshots are taken: after so many entries or bytes, and when somebody asks. One at a time, from a view
 * that does not change while entries are applied.
 *
 * A call for a snapshot that comes while one is being written is not lost: the counters go on, and the next one begins as
 * soon as this one has ended.
 */
import type { SnapshotHead, SnapshotInfo } from '@millrace/log-store'
import type { LogIndex } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import type { MachineSnapshots } from './machine-snapshots.ts'
import type { Clock } from './node.ts'
import { writeSnapshot } from './snapshot-content.ts'
import type { SnapshotOptions } from './snapshot-options.ts'

/** After one that failed, for want of space perhaps. */
const RETRY_MS = 10_000

export interface SnapshotTakerOptions {
  readonly snapshots: MachineSnapshots
  readonly limits: Required<SnapshotOptions>
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Where the log stood at an applied index; undefined where this replica cannot know yet. */
  readonly headAt: (index: LogIndex) => Promise<SnapshotHead | undefined>
  /** False while the state is being replaced. */
  readonly mayTake: () => boolean
  /** Tried again with a later batch of entries. */
  readonly failed: (error: unknown) => void
  /** It is durable. `written`: it was not there before. */
  readonly taken: (info: SnapshotInfo, written: boolean) => void
}

export class SnapshotTaker {
  readonly #options: SnapshotTakerOptions
  #entries = 0
  #bytes = 0
  #building: Promise<unknown> | undefined
  #notBeforeMs = 0
  #closed = false

  constructor(options: SnapshotTakerOptions) {
    this.#options = options
  }

  /** Entries were applied. */
  applied(frames: readonly Frame[]): void {
    this.#entries += frames.length
    for (const frame of frames) this.#bytes += frame.bytes.length
    this.#takeIfDue()
  }

  /**
   * Takes a snapshot of everything that is applied now.
   *
   * @returns it, or one that holds as much
   * @throws Error where this replica cannot, or the store fails
   */
  async take(): Promise<SnapshotInfo> {
    while (this.#building !== undefined) await this.#building.catch(() => undefined)
    return await this.#build()
  }

  /** Resolves when nothing is being written any more. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#building?.catch(() => undefined)
  }

  #takeIfDue(): void {
    const { limits, clock } = this.#options
    const due = this.#entries >= limits.snapshotEntries || this.#bytes >= limits.snapshotBytes
    if (!due || this.#building !== undefined || this.#closed || clock.monotonicMs() < this.#notBeforeMs) return
    if (!this.#options.mayTake()) return
    this.#build().catch((error: unknown) => {
      this.#notBeforeMs = clock.monotonicMs() + RETRY_MS
      this.#options.failed(error)
    })
  }

  #build(): Promise<SnapshotInfo> {
    const counted = { entries: this.#entries, bytes: this.#bytes }
    this.#entries = 0
    this.#bytes = 0
    const building = this.#write().then(
      ({ info, written }) => {
        this.#building = undefined
        this.#options.taken(info, written)
        this.#takeIfDue()
        return info
      },
      (error: unknown) => {
        this.#building = undefined
        this.#entries += counted.entries
        this.#bytes += counted.bytes
        throw error
      },
    )
    this.#building = building
    return building
  }

  async #write(): Promise<{ info: SnapshotInfo; written: boolean }> {
    const { snapshots, headAt, mayTake } = this.#options
    if (!mayTake()) throw new Error('the state is being replaced by a snapshot of another replica')
    const view = snapshots.view()
    try {
      const newest = snapshots.store.list()[0]
      if (newest !== undefined && newest.index >= view.applied.index) return { info: newest, written: false }
      const head = await headAt(view.applied.index)
      if (head === undefined) throw new Error(`the configuration at index ${view.applied.index} is not known here`)
      return { info: await writeSnapshot(snapshots.store, head, view.content()), written: true }
    } finally {
      view.release()
    }
  }
}
