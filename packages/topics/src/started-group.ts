/** What `Topics.replicas` lists. */
import type { GroupHandle } from '@millrace/raft-node'

export interface StartedGroup {
  /** '' for the catalogue. */
  readonly topic: string
  readonly partition: number
  readonly handle: GroupHandle
  readonly highWatermark: number
}
