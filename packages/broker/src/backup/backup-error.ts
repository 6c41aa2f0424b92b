/** What the tools for backups refuse, by name. The message is one line: what was wrong, and what to do. */
export type BackupErrorCode =
  /** There is something already where the backup should go. */
  | 'OUT_EXISTS'
  /** No backup is there, or one that was broken off. */
  | 'NOT_A_BACKUP'
  /** A file is not what was written. */
  | 'DAMAGED'
  /** A topic that was asked for is not in the cluster. */
  | 'UNKNOWN_TOPIC'
  /** Copying a group failed on every node that was tried. */
  | 'SOURCE_FAILED'

export class BackupError extends Error {
  readonly code: BackupErrorCode

  constructor(code: BackupErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'BackupError'
    this.code = code
  }
}
