/**
 * How commands fail: by throwing. A CliError carries its exit code; everything else is given one here. Whatever was
 * thrown, people see one line on stderr, so nothing in this file may let a stack or a line break through.
 */
import type { StartErrorCode } from '@millrace/broker'
import { isErrorCode, MillraceError } from '@millrace/record'
import { EXIT, type ExitCode } from './exit-code.ts'

/** A failure whose message is complete as it stands: it names the value, the rule and, where there is one, the way out. */
export class CliError extends Error {
  readonly exitCode: ExitCode

  constructor(message: string, exitCode: ExitCode = EXIT.failed, options: { readonly cause?: unknown } = {}) {
    super(message, options)
    this.name = 'CliError'
    this.exitCode = exitCode
  }
}

/** Thrown when Ctrl-C or SIGTERM ended a command early: no message, only the exit code. */
export class Interrupted extends CliError {
  constructor() {
    super('interrupted', EXIT.interrupted)
    this.name = 'Interrupted'
  }
}

const START_EXIT: Readonly<Record<StartErrorCode, ExitCode>> = {
  CONFIG_INVALID: EXIT.usage,
  PLAINTEXT_REFUSED: EXIT.usage,
  PORT_IN_USE: EXIT.inUse,
  ADDRESS_UNAVAILABLE: EXIT.usage,
  FOLDER_IN_USE: EXIT.inUse,
  FOLDER_NOT_WRITABLE: EXIT.failed,
  DISK_FULL: EXIT.failed,
  FOLDER_EMPTY: EXIT.usage,
  FOLDER_NOT_EMPTY: EXIT.usage,
  CLUSTER_EXISTS: EXIT.usage,
  IDENTITY_MISMATCH: EXIT.usage,
  STORAGE_DAMAGED: EXIT.failed,
}

/** The exit code that a thrown value stands for. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode
  const code = errorCodeOf(error)
  if (code !== undefined && isStartError(error, code)) return START_EXIT[code]
  if (code === 'UNREACHABLE') return EXIT.unreachable
  if (code === 'INVALID_ARGUMENT' || code === 'INVALID_NAME') return EXIT.usage
  if (code === 'EADDRINUSE') return EXIT.inUse
  return EXIT.failed
}

/** One line of plain text for a thrown value, with its code where it has one of the public table. */
export function describeError(error: unknown): string {
  const message = oneLine(error instanceof Error ? error.message : String(error))
  const code = errorCodeOf(error)
  return code !== undefined && isErrorCode(code) && !message.includes(code) ? `${message} (${code})` : message
}

function errorCodeOf(error: unknown): string | undefined {
  if (error instanceof MillraceError) return error.code
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return undefined
}

/** Known by its name: loading the broker for an instanceof would make every command slower. */
function isStartError(error: unknown, code: string): code is StartErrorCode {
  return error instanceof Error && error.name === 'StartError' && Object.hasOwn(START_EXIT, code)
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ').trim() || 'unknown error'
}
