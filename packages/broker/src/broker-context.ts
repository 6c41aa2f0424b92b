/** What every handler of a running node has at hand. Built once at start, never changed; holds no state of its own. */
import type { LogStore } from '@millrace/log-store'
import type { ClusterMembers, Topics } from '@millrace/topics'
import type { Logger } from 'pino'
import type { BrokerCounters } from './admin/metrics.ts'
import type { Forwarder } from './cluster/forwarder.ts'
import type { NodeDirectory } from './cluster/node-directory.ts'
import type { Readiness } from './cluster/readiness.ts'
import type { LimitsConfig } from './config/node-config.ts'

/** The range of protocol versions that this software speaks. */
export const PROTOCOL_MIN = 1
export const PROTOCOL_MAX = 1

interface BrokerSettings {
  readonly limits: LimitsConfig
  /** Limit of a unary or HTTP append. */
  readonly appendTimeoutMs: number
  /** Silence after which a live read says that it is alive. */
  readonly readIdleMs: number
}

export interface BrokerContext {
  readonly nodeId: number
  readonly clusterId: string
  readonly version: string
  /** Milliseconds since 1970. */
  readonly startedAt: number
  readonly topics: Topics
  readonly members: ClusterMembers
  /** Absent where the node keeps nothing on disk. */
  readonly logStore?: Pick<LogStore, 'stats' | 'acceptsAppends' | 'refused'>
  readonly readiness: Readiness
  /** Replicas that belong here and cannot run, and why. */
  readonly failedReplicas: () => readonly { readonly group: number; readonly reason: string }[]
  /** Bytes that the data folder takes; 0 where there is none. */
  readonly diskUsedBytes: () => number
  readonly isConnected: (node: number) => boolean
  readonly directory: NodeDirectory
  readonly forwarder: Forwarder
  readonly settings: BrokerSettings
  readonly counters: BrokerCounters
  readonly log: Logger
  /** Fires when the node begins to stop: long reads end, new calls are refused. */
  readonly stopping: AbortSignal
}
