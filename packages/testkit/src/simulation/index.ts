export {
  type CoverageCounts,
  type CoverageName,
  FAULTS,
  type FaultName,
  neverOccurred,
  OPERATIONS,
  type OperationName,
  TRANSITIONS,
  type TransitionName,
} from './coverage.ts'
export { type Plan, planOf, type Schedule } from './plan.ts'
export { withoutAmbience } from './sealed-globals.ts'
export { shrink } from './shrink.ts'
export { type Failure, type RunResult, simulate } from './simulation.ts'
