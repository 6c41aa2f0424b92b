/** What the repair of a replica's log sees of the replica, and does to it. */
import type { GroupLog } from '@millrace/log-store'
import type { HoleRange, Role } from '@millrace/raft-core'
import { FrameKind, framePayload } from '@millrace/record'
import { decodeGroupConfiguration } from './configuration-codec.ts'
import type { GroupConfiguration } from './group-handle.ts'
import type { GroupInbox } from './group-inbox.ts'
import type { GroupStepper } from './group-stepper.ts'
import { HoleRepair } from './hole-repair.ts'
import type { HostServices } from './host-services.ts'
import type { ReplicaPlaces } from './replica-places.ts'

/** The replica itself. */
export interface RepairSubject {
  readonly replica: number
  readonly places: ReplicaPlaces
  readonly configuration: GroupConfiguration
  readonly leadership: { readonly role: Role }
  readonly applier: { readonly applied: number }
  readonly state: { holesUnhelped(holes: readonly HoleRange[]): void }
}

export interface RepairParts {
  readonly services: HostServices
  readonly log: GroupLog
  readonly stepper: GroupStepper
  readonly inbox: GroupInbox
  readonly configured: (configuration: GroupConfiguration, index: number) => void
}

export function repairOf(
  subject: RepairSubject,
  { services, log, stepper, inbox, configured }: RepairParts,
): HoleRepair {
  return new HoleRepair({
    ...{ log, clock: services.clock, budget: services.repairs, ask: services.fetchFrames },
    electionTimeoutMs: services.timing.electionTimeoutMinMs,
    peers: () =>
      subject.places.known
        .filter(({ replica }) => replica !== subject.replica)
        .map(({ replica, node }) => ({ replica, node, isVoter: subject.configuration.voters.includes(replica) })),
    leads: () => subject.leadership.role === 'leader',
    isConnected: services.isConnected,
    found: holes => inbox.input({ type: 'holesFound', holes }),
    filled: frames => {
      stepper.filled(frames)
      for (const frame of frames) {
        const { kind, index } = frame.header
        // What the state holds already is not applied again: nobody else would tell of this change.
        if (kind !== FrameKind.configuration || index > subject.applier.applied) continue
        configured(decodeGroupConfiguration(framePayload(frame)), index)
      }
    },
    unhelped: holes => subject.state.holesUnhelped(holes),
    report: services.report,
  })
}
