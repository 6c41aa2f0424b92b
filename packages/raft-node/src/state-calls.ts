/**
 * Asking another replica for its state, by one that has lost its own. The answer says whether it comes; the state itself
 * comes as a snapshot call in the other direction (`SnapshotOffer.stateOnly`).
 */
import type { LogIndex, ReplicaId } from '@millrace/raft-core'

export interface StateRequest {
  readonly group: number
  /** The replica that asks. */
  readonly from: ReplicaId
  readonly to: ReplicaId
  /** The state has to hold everything up to here. */
  readonly least: LogIndex
}

/**
 * `coming`: it is sent, in its turn. `behind`: it does not hold as much. `absent`: there is no such replica, or its state is
 * missing too.
 */
export type StateAnswer = 'coming' | 'behind' | 'absent'
