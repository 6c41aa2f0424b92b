/**
 * What one seed does: sizes, settings, faults and operations. Drawn from the seed as a swarm (Groce et al., "Swarm
 * Testing", 2012): each seed leaves much out, because a run with everything in it never gets far in any direction.
 */
import type { RaftConfig } from '@millrace/raft-core'
import { FAULTS, type FaultName, OPERATIONS, type OperationName } from './coverage.ts'
import { RandomStream } from './random-stream.ts'

/** A run that can be repeated: the seed, and what was taken out of it since. */
export interface Schedule {
  readonly seed: number
  /** Faults and operations that are left out although the seed has them. */
  readonly without: readonly (FaultName | OperationName)[]
  /** The replicas run in the host of a node, raft-node, instead of the simulator's own. */
  readonly hosted?: boolean
  /** Length of the safety phase instead of the seed's own, in simulated milliseconds. */
  readonly safetyMs?: number
}

export interface Plan {
  readonly seed: number
  readonly nodes: number
  /** Voters of each group at birth; the length is the number of groups. */
  readonly votersPerGroup: readonly number[]
  readonly safetyUs: number
  readonly tickUs: number
  readonly faults: ReadonlySet<FaultName>
  readonly operations: ReadonlySet<OperationName>
  /** Mean time between two faults of one kind, in microseconds. */
  readonly faultEveryUs: number
  /** Mean time between two proposals to one group, in microseconds. */
  readonly proposeEveryUs: number
  readonly config: Omit<RaftConfig, 'id' | 'priority' | 'trace'>
  readonly electionTicks: number
  /**
   * An election timeout is many times what a round takes to a quorum and its disks and back, and windows do not hold back
   * what was accepted before: as a node is set up.
   */
  readonly hasRoom: boolean
  readonly priorities: boolean
  readonly network: NetworkPlan
  readonly disk: DiskPlan
  readonly store: StorePlan
  /** A log is trimmed once it holds this many applied entries. */
  readonly trailingEntries: number
  /** Snapshots are of the log's base with a later state (as partitions do), or of the applied index. */
  readonly snapshotsOfBase: boolean
  /** Longest time from an input to the turn that takes it. */
  readonly turnUs: number
}

export interface NetworkPlan {
  readonly delayLeastUs: number
  readonly delayMostUs: number
  readonly lossProbability: number
  readonly duplicationProbability: number
  readonly reorderingProbability: number
}

export interface DiskPlan {
  readonly writeLeastUs: number
  readonly writeMostUs: number
}

/** Limits of the log stores. */
export interface StorePlan {
  readonly segmentBytesMax: number
  readonly segmentAgeMaxMs: number
  readonly roundBytesMax: number
  readonly recoveryScanBytesMin: number
  readonly tailCacheBytesMax: number
  readonly flushSlots: number
  readonly openFilesMax: number
  readonly trashKeepMs: number
}

/** Syncs between an input and its answer: votes twice, or a segment with its name; and others that were in front. */
const SYNCS_OF_A_ROUND = 6
const ROUNDS_OF_ROOM = 8

/** Everything about a run, a function of its schedule alone. */
export function planOf(schedule: Schedule): Plan {
  const random = new RandomStream(schedule.seed, 'plan')
  const nodes = random.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7])
  const votersPerGroup = Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, () => votersOf(random, nodes))
  const safetyMs = random.between(15, 60) * 1000
  const electionTicks = random.pick([4, 6, 10, 10, 15])
  const tickUs = random.pick([20_000, 50_000, 100_000])
  const config = configOf(random, electionTicks, (electionTicks * tickUs) / 1000)
  const faults = chosen(random, FAULTS, schedule)
  const operations = new Set<OperationName>(['propose', ...chosen(random, OPERATIONS, schedule)])
  const faultEveryUs = random.pick([1_000_000, 2_000_000, 4_000_000, 8_000_000])
  const proposeEveryUs = random.pick([10_000, 20_000, 50_000, 200_000])
  const priorities = random.chance(0.3)
  const network = networkOf(random)
  const disk = diskOf(random)
  const turnUs = random.pick([0, 100, 2_000])
  const roundUs = 2 * (network.delayMostUs + turnUs) + SYNCS_OF_A_ROUND * disk.writeMostUs
  return {
    seed: schedule.seed,
    nodes,
    votersPerGroup,
    safetyUs: (schedule.safetyMs ?? safetyMs) * 1000,
    tickUs,
    electionTicks,
    config,
    hasRoom: electionTicks * tickUs >= ROUNDS_OF_ROOM * roundUs && isWide(config),
    faults,
    operations,
    faultEveryUs,
    proposeEveryUs,
    priorities,
    network,
    disk,
    store: storeOf(random),
    trailingEntries: random.pick([5, 20, 100]),
    snapshotsOfBase: random.chance(0.5),
    turnUs,
  }
}

function isWide(config: Plan['config']): boolean {
  const { preVote, checkQuorum, messageBytesMax = 0, inflightMessagesMax = 0, applyingBytesMax = 0 } = config
  // No bytes in flight is no limit. With a few hundred, a round takes one entry or two, and a backlog takes long.
  const { inflightBytesMax = 0 } = config
  const sends =
    messageBytesMax >= 2_000 && inflightMessagesMax >= 8 && (inflightBytesMax === 0 || inflightBytesMax >= 5_000)
  return preVote === true && checkQuorum === true && sends && applyingBytesMax >= 1_000_000
}

function votersOf(random: RandomStream, nodes: number): number {
  return random.chance(0.7) ? nodes : random.between(1, nodes)
}

/** What the real host does not let others do to it, or what takes changes of membership to get over. */
const NOT_HOSTED: readonly (FaultName | OperationName)[] = [
  ...(['duplication', 'reordering', 'readError', 'snapshotLost', 'wipe'] as const),
  ...(['forwardProposal', 'campaign', 'forgetLeader', 'compact', 'offerSnapshot', 'addLearner'] as const),
  ...(['addVoter', 'demote', 'remove', 'jointChange', 'leaveJoint', 'staleChange'] as const),
]

/** Each name with a probability that is the seed's own: some seeds are calm, some try everything at once. */
function chosen<T extends FaultName | OperationName>(
  random: RandomStream,
  names: readonly T[],
  schedule: Schedule,
): Set<T> {
  const probability = random.pick([0.2, 0.5, 0.5, 0.8])
  // Every name draws, also one that is left out: the others must not change with it.
  const drawn = names.filter(() => random.chance(probability))
  const left: readonly string[] = schedule.hosted === true ? NOT_HOSTED : []
  return new Set(drawn.filter(name => !schedule.without.includes(name) && !left.includes(name)))
}

function configOf(random: RandomStream, electionTicks: number, electionMs: number): Plan['config'] {
  const checkQuorum = random.chance(0.8)
  const lease = random.chance(0.4)
  return {
    electionTicks,
    heartbeatTicks: random.between(1, Math.max(1, Math.floor(electionTicks / 4))),
    preVote: random.chance(0.75),
    checkQuorum,
    readMode: checkQuorum && lease ? 'lease' : 'safe',
    leaseMs: electionMs * 0.8,
    stepDownOnRemoval: true,
    forwardProposals: random.chance(0.3),
    autoPromoteLearners: random.chance(0.3),
    messageBytesMax: random.pick([0, 200, 2_000, 1_000_000]),
    inflightMessagesMax: random.pick([1, 2, 8, 256]),
    inflightBytesMax: random.pick([0, 500, 5_000, 1_000_000]),
    uncommittedBytesMax: random.pick([0, 1_000, 20_000, 1_000_000]),
    applyingBytesMax: random.pick([1, 1_000, 1_000_000]),
    cacheBytesMax: random.pick([0, 500, 5_000, 1_000_000]),
    pendingReadsMax: random.pick([2, 1_000]),
    ownEntryBytes: random.pick([0, 64]),
  }
}

function networkOf(random: RandomStream): NetworkPlan {
  const delayLeastUs = random.pick([100, 500, 5_000])
  return {
    delayLeastUs,
    delayMostUs: delayLeastUs * random.pick([2, 5, 10]),
    lossProbability: random.pick([0.002, 0.02, 0.1]),
    duplicationProbability: random.pick([0.01, 0.1]),
    reorderingProbability: random.pick([0.02, 0.2]),
  }
}

function diskOf(random: RandomStream): DiskPlan {
  const writeLeastUs = random.pick([50, 500, 3_000])
  return {
    writeLeastUs,
    writeMostUs: writeLeastUs * random.pick([2, 10]),
  }
}

function storeOf(random: RandomStream): StorePlan {
  return {
    segmentBytesMax: random.pick([2_000, 8_000, 30_000, 1_000_000]),
    segmentAgeMaxMs: random.pick([5_000, 600_000]),
    roundBytesMax: random.pick([600, 4_000, 1_000_000]),
    recoveryScanBytesMin: random.pick([0, 4_000, 1_000_000]),
    tailCacheBytesMax: random.pick([0, 2_000, 100_000]),
    flushSlots: random.pick([1, 2, 2, 2]),
    openFilesMax: random.pick([2, 100]),
    trashKeepMs: random.pick([1_000, 30_000]),
  }
}
