/** What every check of a verification is given. */
import type { Disk } from '../disk.ts'
import type { Mark } from '../mark-file.ts'
import type { VoteSlot } from '../vote-slot.ts'
import type { Findings } from './findings.ts'

export interface VerifyContext {
  /** Refuses every change. */
  readonly disk: Disk
  readonly logDir: string
  readonly findings: Findings
}

/** What the files of the node say about its groups. */
export interface NodeEvidence {
  /** The newer whole copy; null where there is none. */
  readonly mark: Mark | null
  /** The winning copy of each group's slot. */
  readonly slots: ReadonlyMap<number, VoteSlot>
}
