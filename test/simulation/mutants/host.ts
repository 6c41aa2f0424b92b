/** Defects of the host: what it starts from, the state machine. Here the simulator's own host has them. */
import type { Mutant } from './mutant.ts'

export const HOST: readonly Mutant[] = [
  {
    name: 'vote-lost-at-start',
    says: 'the vote is not read back',
    edits: [
      {
        file: 'simulation/recovery.ts',
        from: 'hardState: { ...startBallot(found), commit },',
        to: 'hardState: { ...startBallot(found), vote: 0, commit },',
      },
    ],
  },
  {
    name: 'commit-is-the-end-of-the-log',
    says: 'a replica takes its whole log for committed when it starts',
    edits: [
      {
        file: 'simulation/recovery.ts',
        from: 'const commit = Math.min(log.lastIndex, Math.max(found.commit, log.base.index, proven))',
        to: 'const commit = Math.max(log.lastIndex, found.commit, proven)',
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
        from: '...(found.uncertainUntil && { uncertainUntil: found.uncertainUntil }),',
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
        file: 'simulation/replica-storage.ts',
        from: 'this.#record.checkpoint = state\n',
        to: 'this.#record.checkpoint = this.#record.checkpoint\n',
      },
    ],
  },
  {
    name: 'trim-beyond-the-checkpoint',
    says: 'the log is dropped although the state that covers it is not flushed',
    edits: [
      {
        file: 'simulation/replica.ts',
        from: 'this.disk.checkpoint = this.#machine.state\n    this.#storage.trim',
        to: 'this.#storage.trim',
      },
    ],
  },
]
