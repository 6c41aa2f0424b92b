/**
 * Why a node could not start, in one line for a person. Owns the closed list of reasons; the CLI prints the message and
 * picks the exit code. Nothing has been changed on disk when one of these is thrown, unless its message says so.
 */
import { LogError } from '@millrace/log-store'
import { StateStoreError } from '@millrace/topics'

export type StartErrorCode =
  /** A setting is unknown, missing or has a wrong value. */
  | 'CONFIG_INVALID'
  /** A listener that is not on loopback, without `listen.plaintext: true`. */
  | 'PLAINTEXT_REFUSED'
  | 'PORT_IN_USE'
  /** The address of a listener is not one of this machine, or its port needs more rights. */
  | 'ADDRESS_UNAVAILABLE'
  /** Another process runs on the data folder. */
  | 'FOLDER_IN_USE'
  | 'FOLDER_NOT_WRITABLE'
  | 'DISK_FULL'
  /** `serve` on a folder that `init` never saw, or did not finish. */
  | 'FOLDER_EMPTY'
  /** `init` on a folder that holds more than an `init` of the same node that was interrupted. */
  | 'FOLDER_NOT_EMPTY'
  /**
   * `serve` would found a cluster that is there: it was founded without this node, or this node was in it and has lost its
   * folder.
   */
  | 'CLUSTER_EXISTS'
  /** The folder belongs to another node or cluster than the config says. */
  | 'IDENTITY_MISMATCH'
  /** Files are damaged in a way that cannot be repaired here. */
  | 'STORAGE_DAMAGED'

/** A failed start. `message` is one line and names the value, the rule and the next step. */
export class StartError extends Error {
  readonly code: StartErrorCode

  constructor(code: StartErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'StartError'
    this.code = code
  }

  /** What a failure of the operating system or the log store means for a start; other errors come back unchanged. */
  static from(error: unknown, what: string): unknown {
    if (error instanceof StartError) return error
    if (error instanceof LogError) return new StartError(fromLogCode(error), error.message, error)
    if (error instanceof StateStoreError) {
      return new StartError('STORAGE_DAMAGED', `${what}: ${error.message}`, error)
    }
    const code = systemCode(error)
    if (code === undefined) return error
    const reason = error instanceof Error ? error.message : String(error)
    return new StartError(code, `${what}: ${reason}`, error)
  }
}

function fromLogCode(error: LogError): StartErrorCode {
  switch (error.code) {
    case 'FOLDER_IN_USE':
      return 'FOLDER_IN_USE'
    case 'FOLDER_NOT_WRITABLE':
      return 'FOLDER_NOT_WRITABLE'
    case 'IDENTITY':
      return 'IDENTITY_MISMATCH'
    case 'EXISTS':
      return 'FOLDER_NOT_EMPTY'
    case 'IO':
      return systemCode(error.cause) ?? 'STORAGE_DAMAGED'
    case 'COMPACTED':
    case 'OUT_OF_RANGE':
    case 'DAMAGED':
    case 'REPLICA_LOST':
    case 'FORMAT_VERSION':
    case 'CLOSED':
      return 'STORAGE_DAMAGED'
  }
}

const SYSTEM_CODES: Readonly<Record<string, StartErrorCode>> = {
  EADDRINUSE: 'PORT_IN_USE',
  EADDRNOTAVAIL: 'ADDRESS_UNAVAILABLE',
  EACCES: 'FOLDER_NOT_WRITABLE',
  EPERM: 'FOLDER_NOT_WRITABLE',
  EROFS: 'FOLDER_NOT_WRITABLE',
  ENOTDIR: 'FOLDER_NOT_WRITABLE',
  ENOENT: 'FOLDER_NOT_WRITABLE',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
}

function systemCode(error: unknown): StartErrorCode | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  if ('syscall' in error && error.syscall === 'listen' && error.code === 'EACCES') return 'ADDRESS_UNAVAILABLE'
  return SYSTEM_CODES[error.code]
}
