/** Defects of replication and commit. */
import type { Mutant } from './mutant.ts'

export const REPLICATION: readonly Mutant[] = [
  {
    name: 'acknowledge-before-durable',
    says: 'entries are acknowledged before they are on disk',
    edits: [
      {
        file: 'raft-core/group-state.ts',
        from: "return type === 'appendResponse' || type === 'voteResponse' || type === 'preVoteResponse'",
        to: "return type === 'voteResponse' || type === 'preVoteResponse'",
      },
    ],
  },
  {
    name: 'commit-of-older-term-by-count',
    says: 'entries of earlier terms are committed by counting',
    edits: [
      {
        file: 'raft-core/replication.ts',
        from: 'if (index <= s.log.commit || s.log.term(index) !== s.term) return false',
        to: 'if (index <= s.log.commit) return false',
      },
    ],
  },
  {
    name: 'learner-counted-in-quorum',
    says: 'a learner stands in for a voter when entries are counted',
    edits: [
      {
        file: 'raft-core/progress/tracker.ts',
        from: 'return jointCommitted(this.configuration, id => this.progress.get(id)?.match)',
        to: 'const { voters, votersOutgoing, learners } = this.configuration\n    return jointCommitted({ voters: [...learners, ...voters].slice(0, voters.length), votersOutgoing }, id => this.progress.get(id)?.match)',
      },
    ],
  },
  {
    name: 'joint-commit-under-one-quorum',
    says: 'in a joint configuration the incoming voters alone commit',
    edits: [
      {
        file: 'raft-core/quorum/joint.ts',
        from: 'return Math.min(majorityCommitted(sets.voters, acknowledged), majorityCommitted(sets.votersOutgoing, acknowledged))',
        to: 'return majorityCommitted(sets.voters, acknowledged)',
      },
    ],
  },
  {
    name: 'leader-commit-beyond-what-was-verified',
    says: 'a follower commits its own tail because the leader has committed that far',
    edits: [
      {
        file: 'raft-core/append-handler.ts',
        from: 'commitTo(s, Math.min(m.commit, last))',
        to: 'commitTo(s, Math.min(m.commit, log.lastIndex))',
      },
    ],
  },
  {
    name: 'heartbeat-commit-not-capped',
    says: 'heartbeats tell of commits beyond what the follower is known to hold',
    edits: [
      {
        file: 'raft-core/replication.ts',
        from: 'const commit = Math.min(progress.match, s.log.commit)',
        to: 'const commit = s.log.commit',
      },
    ],
  },
  {
    name: 'stale-append-truncates',
    says: 'an append replaces what it finds, also where it matches',
    edits: [
      {
        file: 'raft-core/append-handler.ts',
        from: 'const conflict = log.firstConflict(m.entries)',
        to: 'const conflict = m.entries.length > 0 ? m.prevIndex + 1 : 0',
      },
    ],
  },
  {
    name: 'conflicting-tail-is-kept',
    says: 'an append is accepted without looking at the entry before it',
    edits: [
      {
        file: 'raft-core/append-handler.ts',
        from: 'if (!log.matches({ index: m.prevIndex, term: m.prevTerm })) {',
        to: 'if (m.prevIndex > log.lastIndex) {',
      },
    ],
  },
  {
    name: 'match-moves-back',
    says: 'a late acknowledgement moves match back, and with it what is sent next',
    edits: [
      {
        file: 'raft-core/progress/progress.ts',
        from: 'if (index <= this.match) return false\n    this.match = index',
        to: 'if (index === this.match) return false\n    this.match = index',
      },
      {
        file: 'raft-core/progress/progress.ts',
        from: 'this.next = Math.max(this.next, index + 1)',
        to: 'this.next = index + 1',
      },
    ],
  },
  {
    name: 'apply-before-durable',
    says: 'committed entries are applied before this disk holds them',
    edits: [
      {
        file: 'raft-core/log/raft-log.ts',
        from: 'return this.snapshot === undefined ? Math.min(this.commit, this.durable) : 0',
        to: 'return this.snapshot === undefined ? this.commit : 0',
      },
    ],
  },
  {
    name: 'old-snapshot-is-installed',
    says: 'a snapshot below the commit index replaces the log',
    edits: [
      {
        file: 'raft-core/append-handler.ts',
        from: 'if (meta.index <= s.log.commit) return false\n  // Its entry',
        to: '// Its entry',
      },
      {
        file: 'raft-core/append-handler.ts',
        from: 'if (s.log.matches(meta)) {\n    // A log',
        to: 'if (meta.index > s.log.commit && s.log.matches(meta)) {\n    // A log',
      },
    ],
  },
  {
    name: 'heartbeat-reply-frees-nobody',
    says: 'a peer that was probed in vain is never probed again',
    edits: [
      {
        file: 'raft-core/leader.ts',
        from: 'progress.recentActive = true\n  progress.flowPaused = false',
        to: 'progress.recentActive = true',
      },
    ],
  },
  {
    name: 'snapshot-failure-forgotten',
    says: 'a peer whose snapshot was lost waits for it for ever',
    edits: [
      {
        file: 'raft-core/leader.ts',
        from: "if (s.role !== 'leader' || progress?.state !== 'snapshot') return",
        to: "if (s.role !== 'leader' || progress?.state !== 'snapshot' || status === 'failed') return",
      },
    ],
  },
]
