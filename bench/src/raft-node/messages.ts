/** What the processes of the benchmark of raft-node tell each other. */

/** To a node: propose entries of that size for a while. */
export interface RunOrder {
  readonly type: 'run'
  readonly entryBytes: number
  readonly inFlight: number
  readonly durationMs: number
  /** Ends earlier when that many bytes were proposed. */
  readonly bytesMax: number
}

export interface RunReport {
  readonly type: 'ran'
  readonly entries: number
  readonly ms: number
  readonly p50Ms: number
}

/** To a node: say what it is, and begin to count anew. */
export interface StateOrder {
  readonly type: 'state'
}

export interface StateReport {
  readonly type: 'state'
  readonly leading: boolean
  readonly cpuMs: number
  /** Payload bytes copied since the last report, leader's or follower's side. */
  readonly copiedToSeal: number
  readonly copiedToSend: number
  readonly copiedOnArrival: number
}

/** Of the process at the other end of bare connections. */
export interface SinkPorts {
  readonly type: 'ports'
  readonly tcp: number
  readonly grpc: number
}
