/** Clusters of real processes and tools to disturb them, for tests. No product code imports this. */
export { type Exit, freePorts, LocalCluster, type NodeProcess, type WaitOptions, waitFor } from '@millrace/cli'
export { type LinkState, TcpProxy } from '@millrace/raft-node/testing'
export * from './command-run.ts'
export * from './start-cluster.ts'
export * from './temporary-folder.ts'
