/** What a replica's snapshots see of the replica, and do to it. */
import type { GroupLog } from '@millrace/log-store'
import type { LogIndex } from '@millrace/raft-core'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import type { GroupApplier } from './group-applier.ts'
import type { GroupConfiguration } from './group-handle.ts'
import type { GroupInbox } from './group-inbox.ts'
import type { SnapshotSubject } from './group-snapshots.ts'
import type { GroupStepper } from './group-stepper.ts'
import type { Leadership } from './leadership.ts'
import type { ReadRequests } from './read-requests.ts'
import type { ReplicaPlaces } from './replica-places.ts'

/** The replica itself. */
export interface SnapshotReplica {
  readonly log: GroupLog
  readonly leadership: Leadership
  readonly applier: GroupApplier
  readonly places: ReplicaPlaces
  readonly reads: ReadRequests
  readonly halted: string | undefined
  halt(reason: string): void
}

export interface SnapshotReplicaParts {
  readonly stepper: GroupStepper
  readonly inbox: GroupInbox
  readonly configured: (configuration: GroupConfiguration, index: LogIndex) => void
  readonly wake: () => void
}

export function snapshotSubject(replica: SnapshotReplica, parts: SnapshotReplicaParts): SnapshotSubject {
  const { leadership, applier, places } = replica
  const { stepper, inbox } = parts
  return {
    get term() {
      return leadership.term
    },
    get leads() {
      return leadership.role === 'leader'
    },
    get commit() {
      return stepper.commit
    },
    get checkpointed() {
      return applier.checkpointed
    },
    checkpoint: () => applier.checkpoint(),
    get restoring() {
      return applier.restoring
    },
    nodeOf: follower => places.nodeOf(follower),
    matchOf: follower => stepper.status().peers.find(({ id }) => id === follower)?.match,
    admits: (other, fromNode) => places.admits(other, fromNode),
    input: input => inbox.input(input),
    replace: (restore, reset) => applier.replace(restore, reset),
    installed: () => installed(replica, parts),
    halt: reason => replica.halt(reason),
  }
}

function installed(replica: SnapshotReplica, { configured, wake }: SnapshotReplicaParts): void {
  if (replica.halted !== undefined) return
  const { configuration, configurationIndex } = replica.log.base
  const inForce = decodeGroupConfiguration(configuration)
  replica.places.learn(inForce)
  configured(inForce, configurationIndex)
  replica.leadership.overtaken()
  replica.reads.applied(replica.applier.applied)
  wake()
}
