/** What the entries and snapshots of a simulated group carry. */
import type { Entry, LogIndex, SnapshotMeta, Term } from '@millrace/raft-core'

/** A state machine's state: a hash over everything that was applied, and how far that is. */
export interface StateImage {
  readonly index: LogIndex
  readonly term: Term
  readonly hash: number
}

/** A command has an id of its own; the handle of a snapshot is the state itself. */
export type Payload =
  | { readonly kind: 'command'; readonly id: number }
  | { readonly kind: 'state'; readonly state: StateImage }

export type SimEntry = Entry<Payload>
export type SimSnapshot = SnapshotMeta<Payload>

/**
 * Id of the command in an entry.
 *
 * @throws Error for an entry that no host has sealed
 */
export function commandOf(entry: SimEntry): number {
  if (entry.payload?.kind !== 'command') {
    throw new Error(`entry ${entry.index} of term ${entry.term} was not sealed before it was used`)
  }
  return entry.payload.id
}

/** The state that comes with a snapshot. */
export function stateOf(snapshot: SimSnapshot): StateImage {
  if (snapshot.payload?.kind !== 'state') throw new Error(`snapshot ${snapshot.index} comes without a state`)
  return snapshot.payload.state
}
