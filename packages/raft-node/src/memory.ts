/** In-memory twins of what `@millrace/raft-node` does over a network. */
export * from './memory-network.ts'
