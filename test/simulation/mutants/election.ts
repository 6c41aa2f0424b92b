/** Defects of campaigns and votes. */
import type { Mutant } from './mutant.ts'

export const ELECTION: readonly Mutant[] = [
  {
    name: 'vote-not-persisted',
    says: 'a vote in a known term is written without a sync',
    edits: [
      {
        file: 'raft-core/take-output.ts',
        from: 'return hardState.term !== s.lastHard.term || hardState.vote !== s.lastHard.vote',
        to: 'return hardState.term !== s.lastHard.term',
      },
    ],
  },
  {
    name: 'vote-before-durable',
    says: 'a vote is answered before it is on disk',
    edits: [
      {
        file: 'raft-core/group-state.ts',
        from: "return type === 'appendResponse' || type === 'voteResponse' || type === 'preVoteResponse'",
        to: "return type === 'appendResponse'",
      },
    ],
  },
  {
    name: 'second-vote-in-a-term',
    says: 'whoever asks last gets the vote',
    edits: [
      {
        file: 'raft-core/election.ts',
        from: 'return s.vote === m.from || (s.vote === NONE && s.leader === NONE)',
        to: 'return s.vote === m.from || s.leader === NONE',
      },
    ],
  },
  {
    name: 'longer-log-wins',
    says: 'the up-to-date check compares lengths only',
    edits: [
      {
        file: 'raft-core/log/raft-log.ts',
        from: 'return candidate.term > lastTerm || (candidate.term === lastTerm && candidate.index >= this.#last)',
        to: 'return candidate.term >= lastTerm && candidate.index >= this.#last',
      },
      {
        file: 'raft-core/log/raft-log.ts',
        from: 'const lastTerm = this.lastTerm\n    return candidate',
        to: 'const lastTerm = 0\n    return candidate',
      },
    ],
  },
  {
    name: 'leads-before-its-term-is-durable',
    says: 'a candidate leads by the votes of others before its own is on disk, and again after a crash',
    edits: [
      {
        file: 'raft-core/election.ts',
        from: "if (s.role === 'candidate' && !s.tracker.votes.has(s.id)) return",
        to: '',
      },
    ],
    seeds: 100,
  },
  {
    name: 'learner-votes-count',
    says: 'votes are counted over learners too',
    edits: [
      {
        file: 'raft-core/progress/tracker.ts',
        from: 'return jointVote(this.configuration, id => this.votes.get(id))',
        to: 'const { voters, votersOutgoing, learners } = this.configuration\n    return jointVote({ voters: [...voters, ...learners.filter(id => this.votes.has(id))].slice(-voters.length), votersOutgoing }, id => this.votes.get(id))',
      },
      {
        file: 'raft-core/progress/tracker.ts',
        from: 'return this.members.filter(id => this.isVoter(id))',
        to: 'return [...this.members]',
      },
    ],
  },
  {
    name: 'joint-election-under-one-quorum',
    says: 'in a joint configuration the incoming voters alone elect',
    edits: [
      {
        file: 'raft-core/quorum/joint.ts',
        from: "return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending'",
        to: 'return incoming',
      },
    ],
  },
  {
    name: 'lost-tail-votes',
    says: 'a replica that lost acknowledged entries votes and campaigns',
    edits: [
      { file: 'raft-core/election.ts', from: "if (s.uncertainUntil !== undefined) return 'uncertain'", to: '' },
      { file: 'raft-core/election.ts', from: 'if (s.uncertainUntil !== undefined) return false', to: '' },
    ],
  },
  {
    name: 'entries-after-stepping-down',
    says: 'new entries are still sent by a leader that stepped down in the same turn',
    edits: [
      {
        file: 'raft-core/roles.ts',
        from: "if (s.role === 'leader') withdrawUnsubmitted(s)",
        to: '',
      },
    ],
  },
  {
    name: 'pre-vote-grant-with-own-term',
    says: 'a pre-vote grant carries the term of the voter, not the one that was asked for',
    edits: [
      {
        file: 'raft-core/election.ts',
        from: 's.send({ type, to: m.from, term: m.term, granted: true })',
        to: 's.send({ type, to: m.from, granted: true })',
      },
    ],
  },
]
