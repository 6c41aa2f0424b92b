export * from './group-handle.ts'
export * from './node.ts'
export * from './state-machine.ts'
export * from './transport.ts'
