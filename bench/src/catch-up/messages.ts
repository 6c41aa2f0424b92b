/** What the benchmark of replacements tells the nodes that it runs, and what they answer. */
import type { GroupStatus, SnapshotActivity, SnapshotOptions } from '@millrace/raft-node'
import type { NumberedState } from './machines.ts'

/** The log is the data. */
export const LOG_GROUP = 1
/** A large state, and a short log behind it. */
export const STATE_GROUP = 2

/** First argument of a node's process, as JSON. */
export interface NodeSetup {
  readonly nodeId: number
  readonly dir: string
  readonly port: number
  /** Addresses of all nodes, as this one is to call them. */
  readonly peers: Readonly<Record<string, string>>
  /** Replica id with which it joins both groups; absent: it is there when they are founded. */
  readonly joinAs?: number
  /** Entries of the log group that are retained. */
  readonly retainEntries: number
  readonly segmentBytesMax: number
  readonly snapshots: SnapshotOptions
}

/** Propose numbered commands, so many at a time. */
export interface LoadOrder {
  readonly type: 'load'
  readonly group: number
  readonly entryBytes: number
  readonly inFlight: number
  /** Different keys; commands take them in turn. */
  readonly keys: number
  /** Default: as many as there is room for. */
  readonly perSecond?: number
  /** Ends by itself. */
  readonly entriesMax?: number
}

export type Order =
  | LoadOrder
  | { readonly type: 'stopLoad'; readonly group: number }
  /** Retention leaves the logs as they are from now on. */
  | { readonly type: 'keepAll' }
  /** Of the state's group. */
  | { readonly type: 'takeSnapshot' }
  | { readonly type: 'status' }
  | { readonly type: 'lead'; readonly group: number; readonly node: number }
  | {
      readonly type: 'replace'
      readonly group: number
      readonly old: number
      readonly by: number
      readonly node: number
    }
  /** Checksum of everything that the replica holds: its log from an index on, and its state. */
  | { readonly type: 'digest'; readonly group: number; readonly from: number }

export interface GroupReport {
  readonly status: GroupStatus
  /** Index of the log's base: entries up to it were dropped. */
  readonly base: number
  readonly state: NumberedState
  /** Commands proposed here that were applied. */
  readonly acknowledged: number
  readonly loading: boolean
}

export interface StatusReport {
  readonly log: GroupReport
  readonly state: GroupReport
  readonly snapshots: SnapshotActivity
}
