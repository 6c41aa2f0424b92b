/**
 * Group configurations as bytes: the payload of `configuration` frames and the `configuration` of base records.
 *
 * Encoding is deterministic (fields in order, ids as given), because the base record of a new group is made on every
 * replica apart and has to be the same everywhere.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { GroupConfigurationSchema, StepKind, Transition } from '@millrace/proto'
import type { ConfigChange, ConfigChangeKind, ConfigChangeStep } from '@millrace/raft-core'
import type { GroupConfiguration } from './group-handle.ts'

/** What a `configuration` frame says: the configuration in force once it is applied, and the change that led to it. */
export interface ConfigurationRecord {
  readonly configuration: GroupConfiguration
  readonly change: ConfigChange
}

/** Of a replica that has not heard of its group yet, encoded as no bytes. */
const NO_MEMBERS: GroupConfiguration = {
  ...{ voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false, places: [] },
}

const NO_CHANGE: ConfigChange = { steps: [], transition: 'auto' }

const STEP_KINDS: Readonly<Record<ConfigChangeKind, StepKind>> = {
  addVoter: StepKind.ADD_VOTER,
  addLearner: StepKind.ADD_LEARNER,
  remove: StepKind.REMOVE,
  update: StepKind.UPDATE,
}

const TRANSITIONS: Readonly<Record<ConfigChange['transition'], Transition>> = {
  auto: Transition.UNSPECIFIED,
  implicit: Transition.IMPLICIT,
  explicit: Transition.EXPLICIT,
}

/**
 * Encodes a configuration, and the change that led to it where there was one.
 *
 * @returns bytes that belong to the caller
 */
export function encodeGroupConfiguration(
  configuration: GroupConfiguration,
  change: ConfigChange = NO_CHANGE,
): Uint8Array {
  const message = create(GroupConfigurationSchema, {
    voters: [...configuration.voters],
    votersOutgoing: [...configuration.votersOutgoing],
    learners: [...configuration.learners],
    learnersNext: [...configuration.learnersNext],
    autoLeave: configuration.autoLeave,
    places: configuration.places.map(({ replica, node, address = '' }) => ({ replica, node, address })),
    leaseReads: configuration.leaseReads ?? false,
    lastReplica: configuration.lastReplica ?? 0,
    steps: change.steps.map(step => ({ kind: STEP_KINDS[step.kind], replica: step.id })),
    transition: TRANSITIONS[change.transition],
  })
  return toBinary(GroupConfigurationSchema, message)
}

/**
 * Decodes what {@link encodeGroupConfiguration} made. No bytes at all are the configuration of a replica that waits for
 * one: it has no members.
 *
 * @throws Error when the bytes are no configuration, or one of a newer version that this one cannot obey
 */
export function decodeGroupConfiguration(bytes: Uint8Array): GroupConfiguration {
  return bytes.length === 0 ? NO_MEMBERS : decodeConfigurationRecord(bytes).configuration
}

/** {@link decodeGroupConfiguration} with the change beside the result. */
export function decodeConfigurationRecord(bytes: Uint8Array): ConfigurationRecord {
  const message = fromBinary(GroupConfigurationSchema, bytes)
  refuseUnknown('group configuration', message)
  for (const place of message.places) refuseUnknown('place of a replica', place)
  const configuration: GroupConfiguration = {
    voters: message.voters,
    votersOutgoing: message.votersOutgoing,
    learners: message.learners,
    learnersNext: message.learnersNext,
    autoLeave: message.autoLeave,
    places: message.places.map(({ replica, node, address }) =>
      address === '' ? { replica, node } : { replica, node, address },
    ),
    ...(message.leaseReads && { leaseReads: true }),
    ...(message.lastReplica !== 0 && { lastReplica: message.lastReplica }),
  }
  if (configuration.voters.length === 0) throw new Error('group configuration without voters')
  const steps = message.steps.map((step): ConfigChangeStep => ({ kind: stepKind(step.kind), id: step.replica }))
  return { configuration, change: { steps, transition: transition(message.transition) } }
}

function refuseUnknown(
  what: string,
  message: { readonly $unknown?: readonly { readonly no: number }[] | undefined },
): void {
  if (message.$unknown === undefined) return
  const fields = message.$unknown.map(field => field.no).join(', ')
  throw new Error(`${what} has fields ${fields} that this version does not know: a newer version is needed`)
}

function stepKind(kind: StepKind): ConfigChangeKind {
  switch (kind) {
    case StepKind.ADD_VOTER:
      return 'addVoter'
    case StepKind.ADD_LEARNER:
      return 'addLearner'
    case StepKind.REMOVE:
      return 'remove'
    case StepKind.UPDATE:
      return 'update'
    default:
      throw new Error(`unknown configuration step ${kind}: a newer version is needed`)
  }
}

function transition(value: Transition): ConfigChange['transition'] {
  switch (value) {
    case Transition.UNSPECIFIED:
      return 'auto'
    case Transition.IMPLICIT:
      return 'implicit'
    case Transition.EXPLICIT:
      return 'explicit'
    default:
      throw new Error(`unknown configuration transition ${value as number}: a newer version is needed`)
  }
}
