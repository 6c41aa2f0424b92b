/** Counts how often each fault, operation and transition occurred: a simulator that never tries a thing proves nothing. */

/** Everything that can go wrong, each switched on or off by the seed. */
export const FAULTS = [
  'loss',
  'duplication',
  'reordering',
  'clog',
  'partition',
  'oneWayPartition',
  'unevenPartition',
  'isolatedLeader',
  'halfOpen',
  'crash',
  'cleanRestart',
  'crashNewLeader',
  'powerLoss',
  'pause',
  'slowDisk',
  'diskStall',
  'tornWrite',
  'syncError',
  'diskFull',
  'readError',
  'lostTail',
  'bitFlip',
  'bitRot',
  'wipe',
  'clockDrift',
  'snapshotLost',
  'checkpointLost',
] as const
export type FaultName = (typeof FAULTS)[number]

/** Everything that clients and operators do, each switched on or off by the seed. */
export const OPERATIONS = [
  'propose',
  'proposeBurst',
  'forwardProposal',
  'read',
  'transfer',
  'campaign',
  'forgetLeader',
  'compact',
  'offerSnapshot',
  'addLearner',
  'addVoter',
  'demote',
  'remove',
  'jointChange',
  'leaveJoint',
  'staleChange',
] as const
export type OperationName = (typeof OPERATIONS)[number]

/** What must be seen of the algorithm in a run of many seeds. */
export const TRANSITIONS = [
  'follower → preCandidate',
  'follower → candidate',
  'follower → follower',
  'preCandidate → candidate',
  'preCandidate → follower',
  'preCandidate → preCandidate',
  'candidate → leader',
  'candidate → follower',
  'candidate → candidate',
  'candidate → preCandidate',
  'leader → follower',
  'leaderForgotten',
  'voted',
  'campaignRefused',
  'quorumLost',
  'committed',
  'truncated',
  'snapshotRestored',
  'snapshotSent',
  'configurationChanged',
  'jointEntered',
  'jointLeft',
  'transferStarted',
  'transferAborted',
  'transferCompleted',
  'certain',
  'restarted',
  'replicaRefused',
  'holeFound',
  'holeFilled',
  'fetched',
  'proposalDropped',
  'readConfirmed',
  'readAborted',
  'leaseRead',
] as const
export type TransitionName = (typeof TRANSITIONS)[number]

export type CoverageName = FaultName | OperationName | TransitionName

/** How often something happened, by name. */
export type CoverageCounts = Readonly<Record<string, number>>

export class Coverage {
  readonly #counts: Map<CoverageName, number> = new Map()

  hit(name: CoverageName): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  counts(): CoverageCounts {
    return Object.fromEntries(this.#counts)
  }
}

/** What has no count, in the order of the lists above. */
export function neverOccurred(counts: CoverageCounts): CoverageName[] {
  return [...FAULTS, ...OPERATIONS, ...TRANSITIONS].filter(name => (counts[name] ?? 0) === 0)
}
