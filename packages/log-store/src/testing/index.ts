export * from './fault-disk.ts'
export * from './log-store-contract.ts'
export * from './manual-clock.ts'
export * from './test-log.ts'
