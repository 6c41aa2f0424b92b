export { frameMisfit, isSamePosition, positionAfter } from '../frame-sequence.ts'
export * from './dump.ts'
export type { Damage, LogExtent, Remark, VerifyCounts } from './findings.ts'
export * from './verify.ts'
