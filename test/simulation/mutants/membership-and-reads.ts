/** Defects of configuration changes, reads and leadership transfer. */
import type { Mutant } from './mutant.ts'

export const MEMBERSHIP_AND_READS: readonly Mutant[] = [
  {
    name: 'two-changes-in-flight',
    says: 'a change is taken while another one is not applied',
    edits: [
      {
        file: 'raft-core/membership/membership.ts',
        from: 'if (s.pendingConfigIndex > s.apply.applied) {\n    const message',
        to: 'if (s.pendingConfigIndex < 0) {\n    const message',
      },
    ],
  },
  {
    name: 'change-before-the-first-commit',
    says: 'a new leader takes a change although an inherited one may be pending',
    edits: [
      {
        file: 'raft-core/roles.ts',
        from: 's.pendingConfigIndex = s.log.lastIndex',
        to: 's.pendingConfigIndex = 0',
      },
    ],
    seeds: 1_000,
  },
  {
    name: 'expected-index-ignored',
    says: 'a change that expects another configuration is taken',
    edits: [
      {
        file: 'raft-core/membership/membership.ts',
        from: 'if (change.expectedIndex !== undefined && change.expectedIndex !== s.history.newestIndex) {',
        to: 'if (change.expectedIndex !== undefined && change.expectedIndex < 0) {',
      },
    ],
  },
  {
    name: 'applied-change-without-effect',
    says: 'a configuration entry is applied and the old configuration stays in force',
    edits: [
      {
        file: 'raft-core/storage.ts',
        from: "if (entry.kind === 'config') applyConfigEntry(s, entry)",
        to: "if (entry.kind === 'config' && s.role === 'leader') applyConfigEntry(s, entry)",
      },
    ],
  },
  {
    name: 'read-before-the-first-commit',
    says: 'a leader confirms reads before it has committed an entry of its term',
    edits: [
      {
        file: 'raft-core/reads/reads.ts',
        from: 'return s.log.term(s.log.commit) === s.term',
        to: 'return s.log.commit > 0',
      },
    ],
  },
  {
    name: 'read-without-a-round',
    says: 'a leader answers reads from its own commit index without asking anybody',
    edits: [
      {
        file: 'raft-core/reads/reads.ts',
        from: 'if (isAlone(s) || leaseHolds(s, nowMs))',
        to: "if (isAlone(s) || s.role === 'leader')",
      },
    ],
    seeds: 1_000,
  },
  {
    name: 'lease-without-a-clock',
    says: 'a lease is checked against the clock of the last message, not of the read',
    edits: [
      {
        file: 'raft-core/raft-group.ts',
        from: 'this.#state.lease.valid(nowMs)',
        to: 'this.#state.lease.valid(this.#state.nowMs ?? nowMs)',
      },
    ],
  },
  {
    name: 'reads-outlive-their-quorum',
    says: 'reads that wait for a member are not confirmed when it leaves',
    edits: [
      {
        file: 'raft-core/membership/membership.ts',
        from: '  confirmReads(s)\n',
        to: '',
      },
    ],
    seeds: 2_000,
  },
]
