export { type ApplyOptions, applyCommand } from './apply-command.ts'
export { BIRTH_INDEX, BIRTH_TERM, birthRecord, type GroupBirth } from './birth-record.ts'
export { decodeGroupConfiguration, encodeGroupConfiguration } from './configuration-codec.ts'
export type { GivenUp } from './damage-surrender.ts'
export type { FrameAnswer, FrameRefusal, FrameRequest } from './frame-calls.ts'
export { type Fsm, type FsmSnapshot, openFsm } from './fsm.ts'
export { type BootstrapOptions, FoundingError, type FoundingRefusal } from './group-bootstrap.ts'
export { birthGroup, type GroupFounding, type GroupJoining, joinGroup } from './group-founding.ts'
export * from './group-handle.ts'
export { GroupMembers, type MemberChangeOptions } from './group-members.ts'
export { createGrpcTransport, type GrpcTransport, type GrpcTransportOptions } from './grpc/grpc-transport.ts'
export type { InboundLimits } from './inbound-credit.ts'
export * from './machine-snapshots.ts'
export * from './node.ts'
export { type PayloadCopies, payloadCopies } from './payload-copies.ts'
export {
  createRaft,
  type Raft,
  type RaftFounding,
  type RaftMetrics,
  type RaftObserver,
  type RaftOptions,
  type RaftState,
} from './raft.ts'
export { createNode } from './raft-host.ts'
export type { RepairTraffic } from './repair-budget.ts'
export { replayedMachine } from './replayed-machine.ts'
export * from './snapshot-calls.ts'
export type { SnapshotOptions } from './snapshot-options.ts'
export type { RunningTransfer, SnapshotTraffic, TransferProgress } from './snapshot-sends.ts'
export type { StateAnswer, StateRequest } from './state-calls.ts'
export type { StateRepair } from './state-fetch.ts'
export * from './state-machine.ts'
export * from './transport.ts'
