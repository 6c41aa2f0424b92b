/**
 * The seam to state machines whose state can be handed to other replicas as a whole.
 *
 * Two kinds. `applied`: the log is trimmed behind the state; a snapshot is of the applied index, taken by thresholds, and is
 * what the next start begins with. `base`: the log is the data and is trimmed by its own rules; a snapshot is of the log's
 * base, made when a replica needs one, and its content may be ahead of that: entries in between are stored by whoever gets
 * it, and not applied again.
 */
import type { SnapshotInfo, SnapshotStore } from '@millrace/log-store'
import type { AppliedPosition } from './state-machine.ts'

/** The state at one applied position. It stays what it is while entries are applied. */
export interface StateView {
  readonly applied: AppliedPosition
  /**
   * The content, in order, in pieces of any size. A piece is not looked at any more when the next one is asked for. Asked
   * for once, and perhaps not read to its end.
   */
  content(): AsyncIterable<Uint8Array>
  /** The view is not needed any more. Once, always. */
  release(): void
}

export interface MachineSnapshots {
  readonly kind: 'applied' | 'base'
  readonly store: SnapshotStore
  /** Makes a view, at once, between two batches of entries. */
  view(): StateView
  /**
   * Replaces the state by the content of a view. Durable, or sure to be read from the store's newest snapshot at the next
   * start, when it resolves. No other method but `leadership` is called meanwhile; afterwards `apply` goes on after the
   * position that is returned. Of kind `base`, at the birth of a group (`BIRTH_INDEX`) the content is empty: the state is
   * that of an empty log from `snapshot` on. A throw halts the replica.
   *
   * @param snapshot what the log's base will be; belongs to the node
   */
  restore(snapshot: SnapshotInfo, content: AsyncIterable<Uint8Array>): Promise<AppliedPosition>
}
