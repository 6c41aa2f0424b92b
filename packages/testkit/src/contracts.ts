/**
 * What every store has to keep, as suites for whoever writes another one: each takes the `test` and `expect` of the test
 * runner, and a function that makes an empty place. The stores of this house pass them (log-store: `contract.test.ts`).
 */
export {
  type ContractPlace,
  type ContractRunner,
  type ContractSnapshots,
  type ContractStore,
  testHoles,
  testLogStore,
  testSnapshotStore,
} from '@millrace/log-store/testing'
