export * from './partition.ts'
export * from './started-group.ts'
export * from './topics.ts'
