/** Defects of a node's host, looked for in that host. */
import type { Mutant } from './mutant.ts'

const defects: readonly Omit<Mutant, 'hosted'>[] = [
  {
    name: 'host-answers-before-its-write',
    says: 'what a write releases leaves at once',
    edits: [
      {
        file: 'raft-node/group-storage.ts',
        from: 'this.#write({ frames, commit: this.#commit, ...ballot }, task.responses)\n    return []',
        to: 'this.#write({ frames, commit: this.#commit, ...ballot }, [])\n    return task.responses',
      },
    ],
  },
  {
    name: 'host-forgets-its-vote',
    says: 'the vote is not handed to the core at the start',
    edits: [
      {
        file: 'raft-node/group-opening.ts',
        from: '{ term: ballot.term, vote: ballot.vote }',
        to: '{ term: ballot.term, vote: 0 }',
      },
    ],
  },
  {
    name: 'host-takes-its-log-for-committed',
    says: 'a replica takes its whole log for committed when it starts',
    edits: [
      {
        file: 'raft-node/group-opening.ts',
        from: 'const known = Math.max(recovered.commit, recovered.base.index)',
        to: 'const known = recovered.last.index',
      },
    ],
  },
  {
    name: 'host-does-not-store-votes',
    says: 'term and vote are not written',
    edits: [
      {
        file: 'raft-node/group-storage.ts',
        from: 'hardState !== undefined && (hardState.term !== this.#term || hardState.vote !== this.#vote)',
        to: 'hardState === undefined && this.#term < 0',
      },
    ],
  },
  {
    name: 'host-stays-uncertain',
    says: 'the store never hears that the end of a log is certain again',
    edits: [
      {
        file: 'raft-node/group-stepper.ts',
        from: "if (event.type === 'certain') this.#storage.certain()",
        to: "if (event.type === 'certain') return",
      },
    ],
  },
  {
    name: 'host-hides-the-uncertain-end',
    says: 'the core does not hear that the end of the log is uncertain',
    edits: [
      {
        file: 'raft-node/group-opening.ts',
        from: '...(recovered.uncertainUntil === undefined ? {} : { uncertainUntil: recovered.uncertainUntil }),',
        to: '',
      },
    ],
  },
  {
    name: 'host-leaves-holes',
    says: 'a log with holes is opened, and nobody repairs it',
    edits: [{ file: 'raft-node/hole-repair.ts', from: 'else this.#begin()', to: 'else this.#note()' }],
  },
  {
    name: 'host-merges-appends-of-two-terms',
    says: 'appends that do not continue each other become one message',
    edits: [
      {
        file: 'raft-node/outbox.ts',
        from: 'const continues = b.prevIndex === a.prevIndex + a.entries.length && b.prevTerm === lastTerm',
        to: 'const continues = b.prevTerm === lastTerm || b.prevIndex >= a.prevIndex',
      },
    ],
  },
]

export const RAFT_NODE: readonly Mutant[] = defects.map(defect => ({ ...defect, hosted: true }))
