/** Defects of the log store: what is durable, and what a recovery makes of what it finds. */
import type { Mutant } from './mutant.ts'

export const LOG_STORE: readonly Mutant[] = [
  {
    name: 'acknowledge-before-fsync',
    says: 'a write is answered before its round is durable',
    edits: [
      {
        file: 'log-store/segmented-group-log.ts',
        from: 'else if (!(await this.#writer.append(frames, ballot, commit))) return',
        to: `else {
      for (const queued of batch) queued.done()
      if (!(await this.#writer.append(frames, ballot, commit))) return
    }`,
      },
      {
        file: 'log-store/segmented-group-log.ts',
        from: 'if (!this.#context.faults.halted) queued.done()',
        to: 'if (!this.#context.faults.halted && !(frames.length > 0 && batch.includes(queued))) queued.done()',
      },
    ],
  },
  {
    name: 'new-segment-not-synced',
    says: 'the first round of a segment is written and never synced',
    edits: [
      {
        file: 'log-store/new-segment.ts',
        from: 'const isDurable = written && (await faults.sync(path, () => aside.datasync()))',
        to: 'const isDurable = written',
      },
    ],
  },
  {
    name: 'no-folder-fsync-on-roll',
    says: 'the name of a new segment is not made durable',
    edits: [
      {
        file: 'log-store/new-segment.ts',
        from: 'return faults.sync(folder, () => disk.syncFolder(folder))',
        to: 'return true',
      },
    ],
  },
  {
    name: 'one-salt-for-all-segments',
    says: 'rounds of a trimmed segment count in the one that is written over it',
    edits: [{ file: 'log-store/log-writer.ts', from: 'random(salt)', to: 'random(new Uint8Array(salt.length))' }],
  },
  {
    name: 'one-copy-of-the-votes',
    says: 'term and vote are written once, not twice',
    edits: [{ file: 'log-store/vote-file.ts', from: 'for (const copy of [0, 1]) {', to: 'for (const copy of [0]) {' }],
  },
  {
    name: 'vote-answered-after-one-copy',
    says: 'a vote counts as durable when it was written, and synced later',
    edits: [
      {
        file: 'log-store/vote-file.ts',
        from: 'return this.#faults.sync(this.#path, () => this.#file.datasync())',
        to: 'void this.#faults.sync(this.#path, () => this.#file.datasync())\n    return true',
      },
    ],
  },
  {
    name: 'votes-not-written-again',
    says: 'after an unclean stop votes count that only the page cache may have',
    edits: [{ file: 'log-store/segmented-log-store.ts', from: 'if (!cleanStop) await votes.rewriteAll()', to: '' }],
  },
  {
    name: 'last-round-not-written-again',
    says: 'after an unclean stop a round counts that only the page cache may have',
    edits: [
      {
        file: 'log-store/recovery.ts',
        from: "const rewrites = verdict === 'rewriteLastRound' && end.index > base.index",
        to: 'const rewrites = false',
      },
    ],
  },
  {
    name: 'damage-is-cut-off',
    says: 'a bad checksum in the middle of a log is taken for its end',
    edits: [
      {
        file: 'log-store/segment-scanner.ts',
        from: "return { kind: 'damaged', position, detail, nextRecord: at }",
        to: "return { kind: 'incomplete', position, detail }",
      },
      {
        file: 'log-store/recovery-table.ts',
        from: "if (mark.generation > found.generation || found.lastIndex < mark.lastIndex) return 'uncertain'",
        to: '',
      },
    ],
  },
  {
    name: 'shorter-log-unnoticed',
    says: 'a log that ends below the mark is taken as it is',
    edits: [
      {
        file: 'log-store/recovery-table.ts',
        from: "if (mark.generation > found.generation || found.lastIndex < mark.lastIndex) return 'uncertain'",
        to: "if (mark.generation > found.generation || found.lastIndex < mark.lastIndex) return 'newGeneration'",
      },
    ],
  },
  {
    name: 'truncation-in-place',
    says: 'entries are replaced without a new generation',
    edits: [
      {
        file: 'log-store/log-writer.ts',
        from: '? await this.#appendInNewSegment(content, truncates || this.#closed)',
        to: '? await this.#appendInNewSegment(content, this.#closed)',
      },
    ],
  },
  {
    name: 'sync-error-ignored',
    says: 'a failed fsync is tried again, and believed the second time',
    edits: [
      {
        file: 'log-store/storage-faults.ts',
        from: 'const error = await failureOf(datasync)',
        to: 'const error = (await failureOf(datasync)) && (await failureOf(datasync))',
      },
    ],
  },
  {
    name: 'round-before-its-vote',
    says: 'entries are written while the term they came in is on its way to the vote file',
    edits: [{ file: 'log-store/segmented-group-log.ts', from: 'queued.ballotDurable = false\n', to: '\n' }],
  },
]
