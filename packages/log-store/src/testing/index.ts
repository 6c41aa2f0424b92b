export * from './test-log.ts'
