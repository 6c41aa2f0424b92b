/** Resolves a {@link RaftConfig}: every setting has a value here, and a value out of range is refused at construction. */
import type { RaftConfig } from './config.ts'
import type { ReplicaId } from './entry.ts'
import type { TraceEvent } from './trace.ts'

/** A {@link RaftConfig} with its defaults filled in. */
export interface Settings {
  readonly id: ReplicaId
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly preVote: boolean
  readonly checkQuorum: boolean
  readonly readMode: 'safe' | 'lease'
  readonly leaseMs: number
  readonly stepDownOnRemoval: boolean
  readonly forwardProposals: boolean
  readonly autoPromoteLearners: boolean
  readonly validateConfigChanges: boolean
  readonly priority: number
  readonly messageBytesMax: number
  readonly inflightMessagesMax: number
  readonly inflightBytesMax: number
  readonly uncommittedBytesMax: number
  readonly applyingBytesMax: number
  readonly cacheBytesMax: number
  readonly pendingReadsMax: number
  readonly ownEntryBytes: number
  readonly trace: ((event: TraceEvent) => void) | undefined
}

const MiB = 1024 * 1024

/** Defaults of every setting of {@link RaftConfig} that has one. Byte limits in bytes, timeouts in ticks. */
export const DEFAULTS: Omit<Settings, 'id' | 'trace'> = {
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: true,
  checkQuorum: true,
  readMode: 'safe',
  leaseMs: 0,
  stepDownOnRemoval: false,
  forwardProposals: false,
  autoPromoteLearners: false,
  validateConfigChanges: true,
  priority: 0,
  messageBytesMax: MiB,
  inflightMessagesMax: 256,
  inflightBytesMax: 16 * MiB,
  uncommittedBytesMax: 64 * MiB,
  applyingBytesMax: 16 * MiB,
  cacheBytesMax: 4 * MiB,
  pendingReadsMax: 1_024,
  ownEntryBytes: 0,
}

/**
 * Fills in the defaults.
 *
 * @throws RangeError when a setting is out of range; the message names the setting and its value
 */
export function resolveConfig(config: RaftConfig): Settings {
  const given = Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))
  const settings: Settings = { trace: undefined, ...DEFAULTS, ...given, id: config.id }
  atLeast('id', settings.id, 1)
  atLeast('heartbeatTicks', settings.heartbeatTicks, 1)
  if (settings.electionTicks <= settings.heartbeatTicks) {
    throw new RangeError(
      `electionTicks ${settings.electionTicks} must be above heartbeatTicks ${settings.heartbeatTicks}: set it higher`,
    )
  }
  atLeast('inflightMessagesMax', settings.inflightMessagesMax, 1)
  atLeast('applyingBytesMax', settings.applyingBytesMax, 1)
  for (const name of ['messageBytesMax', 'inflightBytesMax', 'uncommittedBytesMax', 'cacheBytesMax'] as const) {
    atLeast(name, settings[name], 0)
  }
  atLeast('pendingReadsMax', settings.pendingReadsMax, 1)
  if (settings.readMode === 'lease' && !settings.checkQuorum) {
    throw new RangeError('readMode lease needs checkQuorum: without it a leader cut off keeps its lease alone')
  }
  return settings
}

function atLeast(name: string, value: number, least: number): void {
  if (!(value >= least)) throw new RangeError(`${name} is ${value}, it must be at least ${least}`)
}
