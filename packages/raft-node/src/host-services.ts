/** What a group may ask of the node that it runs on. */
import type { LogStore } from '@millrace/log-store'
import type { RandomInt } from '@millrace/raft-core'
import type { FrameAnswer, FrameRequest } from './frame-calls.ts'
import type { InboundCredit } from './inbound-credit.ts'
import type { Clock, CreateCore, NodeEvent, NodeTiming } from './node.ts'
import type { QuietPeers } from './quiet-peers.ts'
import type { RepairBudget } from './repair-budget.ts'
import type { SnapshotSends } from './snapshot-sends.ts'
import type { StateAnswer, StateRequest } from './state-calls.ts'
import type { GroupMessage } from './transport.ts'

export interface HostServices {
  readonly nodeId: number
  readonly clock: Clock
  readonly randomInt: RandomInt
  readonly timing: Required<NodeTiming>
  readonly snapshots: SnapshotSends
  readonly repairs: RepairBudget
  /** @see Transport.fetchFrames */
  fetchFrames(node: number, request: FrameRequest): Promise<FrameAnswer>
  /** @see Transport.fetchState */
  fetchState(node: number, request: StateRequest): Promise<StateAnswer>
  readonly store: LogStore
  readonly createCore?: CreateCore | undefined
  readonly inbound: InboundCredit
  /** Undefined: the timing leaves no room for quiet groups. */
  readonly quiet: QuietPeers | undefined
  /** Peers reach a node at this address. */
  reach(node: number, address: string): void
  isConnected(node: number): boolean
  /** The process that ran as `node` is gone, and no other has connected as that node since. */
  isGone(node: number): boolean
  /** Into the outbox of this turn. */
  post(toNode: number, message: GroupMessage): void
  report(event: NodeEvent): void
}

export const TIMING_DEFAULTS: Required<NodeTiming> = {
  heartbeatMs: 150,
  electionTimeoutMinMs: 1_500,
  campaignRankDelayMs: 40,
  checkpointIntervalMs: 30_000,
}

/** @throws RangeError for timing that cannot work */
export function resolveTiming(timing: NodeTiming = {}): Required<NodeTiming> {
  const resolved = { ...TIMING_DEFAULTS, ...timing }
  for (const [name, value] of Object.entries(resolved)) {
    if (!(value > 0)) throw new RangeError(`${name} is ${value}, it must be above 0`)
  }
  if (resolved.electionTimeoutMinMs < 2 * resolved.heartbeatMs) {
    throw new RangeError(
      `electionTimeoutMinMs ${resolved.electionTimeoutMinMs} must be at least twice heartbeatMs ${resolved.heartbeatMs}`,
    )
  }
  return resolved
}
