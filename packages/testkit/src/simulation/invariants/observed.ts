/** What the invariants may see of a replica. */
import type { GroupStatus, ReplicaId, Term } from '@millrace/raft-core'
import type { StorageRecord } from '../storage-record.ts'

export interface Observed {
  readonly id: ReplicaId
  /** Counts the starts of its process. */
  readonly incarnation: number
  readonly disk: StorageRecord
  readonly core: { status(): GroupStatus; term(index: number): Term | undefined }
}
