/** The configuration of a node, complete and checked. Times in milliseconds, sizes in bytes. */

/** One node of the cluster, as every node's config lists it. */
export interface ClusterNodeConfig {
  readonly node: number
  /** Base URL of the node's client port, as other nodes and clients reach it. */
  readonly clientUrl: string
  /** `host:port` of the node's peer port. */
  readonly peerAddress: string
}

export interface LimitsConfig {
  readonly streamInflightBytesMax: number
  readonly readBufferBytesMax: number
  readonly connectionsMax: number
  readonly streamsPerConnectionMax: number
  readonly forwardsMax: number
  readonly readStreamsMax: number
}

export interface NodeConfig {
  readonly node: number
  readonly dataDir: string
  readonly listen: {
    readonly client: string
    readonly peer: string
    readonly admin: string
    readonly plaintext: boolean
  }
  readonly cluster: { readonly nodes: readonly ClusterNodeConfig[] }
  readonly http: { readonly allowedOrigins: readonly string[]; readonly allowedHosts: readonly string[] }
  readonly limits: LimitsConfig
  readonly appendTimeoutMs: number
  readonly readIdleMs: number
  readonly shutdownMs: number
  readonly storage: {
    readonly segmentBytesMax: number
    readonly diskReserveBytes: number
    readonly tailCacheBytesMax: number
  }
  /** Sizes in bytes, counts in entries or snapshots. */
  readonly snapshots: {
    readonly entries: number
    readonly bytes: number
    readonly trailingEntriesMax: number
    readonly retained: number
    readonly chunkBytes: number
    readonly bytesPerSecondMax: number
    readonly sendsMax: number
  }
  readonly retention: { readonly intervalMs: number }
  readonly raft: { readonly heartbeatMs: number; readonly electionTimeoutMinMs: number }
  readonly log: { readonly level: LogLevel }
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'
