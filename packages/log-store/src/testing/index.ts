export * from './log-store-contract.ts'
export * from './test-log.ts'
