/** Tools for the data folder of a node that is not running, and for copies of one. */

export { loadState } from '../stored-state.ts'
export * from './group-replay.ts'
export { LogContinuation } from './log-continuation.ts'
export { cataloguePlacesOn, placesOn } from './placement.ts'
export { type LogExtent, STATE_FOLDER, type StateDamage, type StateReport, verifyState } from './verify-state.ts'
