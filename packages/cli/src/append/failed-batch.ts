/** What is known about the records of a batch whose append failed. */
import { MillraceError } from '@millrace/record'
import type { FailedBatch } from './append-stream.ts'

/** A batch may fail in part: the error counts its records. */
export function failedBatch(error: unknown, count: number): FailedBatch {
  const none = { stored: 0, not_stored: 0, unknown: 0 }
  if (!(error instanceof MillraceError)) return { ...none, unknown: count }
  const { stored, notStored, unknown } = error.details
  if (typeof stored === 'number' && typeof notStored === 'number' && typeof unknown === 'number')
    return { stored, not_stored: notStored, unknown }
  return { ...none, [error.outcome]: count }
}
