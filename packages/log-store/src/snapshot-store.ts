/**
 * The seam between a Raft host and its snapshots: one `SnapshotStore` per group. A snapshot is where the log stood, with
 * the configuration in force there, and the content of a state machine, which is opaque here.
 *
 * A snapshot exists once it is whole and durable; one that was not finished is never seen, whatever stopped it.
 * Implementations: `openSnapshotStore` (files) and `MemorySnapshotStore` (`@millrace/log-store/memory`).
 */
import type { BaseRecord } from './log-store.ts'

/** Where the log stood when the snapshot was taken: what a log is reset to when the snapshot is installed. */
export type SnapshotHead = Omit<BaseRecord, 'voidBelow'>

export interface SnapshotInfo extends SnapshotHead {
  /** Bytes of the content. */
  readonly contentBytes: number
  /** CRC-32 of the content. */
  readonly contentChecksum: number
}

export interface SnapshotStore {
  /** Whole snapshots, the newest (by index, then term) first. Their content is verified when they are opened. */
  list(): readonly SnapshotInfo[]
  /**
   * Begins a snapshot. One that has the same index and term is replaced when this one is committed.
   *
   * @throws LogError `EXISTS` while another one of this index and term is being written
   */
  create(head: SnapshotHead): Promise<SnapshotSink>
  /**
   * Opens the newest snapshot whose content is what its checksum says, or null where there is none. Damaged ones are
   * reported, not listed any more, and never opened.
   */
  openNewest(): Promise<SnapshotReader | null>
}

/** A snapshot being written. Ends with `commit` or `abort`; without either it is gone at the next start. */
export interface SnapshotSink {
  /**
   * Adds content at the end. The caller waits for the promise before it calls again, and may use `bytes` anew then.
   *
   * @throws an error with the code `ENOSPC` where the disk is full: abort, and try again later
   */
  write(bytes: Uint8Array): Promise<void>
  /**
   * Makes it durable and visible; then removes those that are older than the newest verified ones that are retained.
   *
   * @throws LogError `IO`; the snapshot may then turn up at the next start, whole, or not at all
   */
  commit(): Promise<SnapshotInfo>
  /** Gives it up. Quiet after `commit`. */
  abort(): Promise<void>
}

/** An open snapshot. It can be read to its end even where it is removed meanwhile. */
export interface SnapshotReader {
  readonly info: SnapshotInfo
  /** Content from `position` on, `bytesMax` bytes or fewer at the end. The caller owns them. */
  read(position: number, bytesMax: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** Newest first. */
export function compareSnapshots(a: SnapshotHead, b: SnapshotHead): number {
  return b.index - a.index || b.term - a.term
}
