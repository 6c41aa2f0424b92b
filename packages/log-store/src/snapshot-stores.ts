/**
 * The seam between a node and the snapshots of all its groups. Implementations: `openSnapshotFolder` (files) and
 * `MemorySnapshotStores` (`@millrace/log-store/memory`).
 */
import type { SnapshotStore } from './snapshot-store.ts'

export interface SnapshotStores {
  /**
   * Opens the snapshots of a group, one user at a time. Where it has none, nothing is made until one is written.
   *
   * @throws LogError `IO`
   */
  open(group: number): Promise<SnapshotStore>
  /**
   * Moves what there is of a group to the trash, durably; quiet where there is nothing. Nobody uses its store then.
   *
   * @throws LogError `IO`
   */
  drop(group: number): Promise<void>
  /** Stops what runs in the background. Stores that are open are not used any more. */
  close(): Promise<void>
}
