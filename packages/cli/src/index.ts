/**
 * What other programs use of the command line: starting its processes and clusters of them. The testkit does; nothing
 * else in the workspace depends on this package.
 */
export * from './cluster/cluster-summary.ts'
export * from './cluster/local-cluster.ts'
export { nodeStatus } from './cluster/node-api.ts'
export * from './cluster/node-layout.ts'
export * from './cluster/node-process.ts'
export * from './exit-code.ts'
export * from './process/child.ts'
export * from './process/entry-point.ts'
export * from './process/ports.ts'
export * from './process/wait-for.ts'
