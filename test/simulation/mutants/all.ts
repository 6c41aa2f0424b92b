/** Every defect that the simulator must find. */
import { ELECTION } from './election.ts'
import { HOST } from './host.ts'
import { LOG_STORE } from './log-store.ts'
import { MEMBERSHIP_AND_READS } from './membership-and-reads.ts'
import type { Mutant } from './mutant.ts'
import { RAFT_NODE } from './raft-node.ts'
import { REPLICATION } from './replication.ts'

export const MUTANTS: readonly Mutant[] = [
  ...ELECTION,
  ...REPLICATION,
  ...MEMBERSHIP_AND_READS,
  ...HOST,
  ...LOG_STORE,
  ...RAFT_NODE,
]
