/** Tools for the data folder of a node that is not running. */
export { type LogExtent, STATE_FOLDER, type StateDamage, type StateReport, verifyState } from './verify-state.ts'
