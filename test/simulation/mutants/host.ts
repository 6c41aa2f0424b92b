/** Defects of the host: storage, recovery, the state machine. Here the simulator's own host has them. */
import type { Mutant } from './mutant.ts'

export const HOST: readonly Mutant[] = [
  {
    name: 'no-fsync',
    says: 'writes are reported done and never synced',
    edits: [
      {
        file: 'simulation/replica-disk.ts',
        from: "return write.kind === 'trim' || write.task.mustSync",
        to: "return write.kind === 'trim'",
      },
    ],
  },
  {
    name: 'vote-lost-at-start',
    says: 'the vote is not read back',
    edits: [
      {
        file: 'simulation/recovery.ts',
        from: 'hardState: { term: disk.term, vote: disk.vote, commit },',
        to: 'hardState: { term: disk.term, vote: 0, commit },',
      },
    ],
  },
  {
    name: 'commit-is-the-end-of-the-log',
    says: 'a replica takes its whole log for committed when it starts',
    edits: [
      {
        file: 'simulation/recovery.ts',
        from: 'const commit = Math.min(log.lastIndex, Math.max(disk.commit, log.base.index, proven))',
        to: 'const commit = Math.max(log.lastIndex, disk.commit, proven)',
      },
    ],
  },
  {
    name: 'configuration-of-the-end-of-the-log',
    says: 'a replica starts under a configuration that is not committed',
    edits: [
      {
        file: 'simulation/recovery.ts',
        from: 'log.configurationAt(commit)',
        to: 'log.configurationAt(log.lastIndex)',
      },
    ],
  },
  {
    name: 'lost-tail-unnoticed',
    says: 'a replica that lost acknowledged entries does not know it',
    edits: [
      {
        file: 'simulation/recovery.ts',
        from: '...(disk.uncertainUntil && { uncertainUntil: disk.uncertainUntil }),',
        to: '',
      },
    ],
  },
  {
    name: 'state-without-its-index',
    says: 'the applied index falls behind the state: entries are applied twice',
    edits: [
      {
        file: 'simulation/state-machine.ts',
        from: 'if (entry.index <= this.#state.index) return false\n    if (entry.index !== this.#state.index + 1) {',
        to: 'if (entry.index > this.#state.index + 1) {',
      },
    ],
  },
  {
    name: 'base-before-state',
    says: 'a snapshot becomes the base of the log before its state is durable',
    edits: [
      {
        file: 'simulation/replica-disk.ts',
        from: 'this.checkpoint = stateOf(snapshot)',
        to: 'this.checkpoint = this.checkpoint',
      },
    ],
  },
  {
    name: 'trim-beyond-the-checkpoint',
    says: 'the log is dropped although the state that covers it is not flushed',
    edits: [
      {
        file: 'simulation/replica.ts',
        from: 'this.disk.checkpoint = this.#machine.state\n    this.disk.submit',
        to: 'this.disk.submit',
      },
    ],
  },
]
