export * from './dump.ts'
export type { Damage, Remark, VerifyCounts } from './findings.ts'
export * from './verify.ts'
