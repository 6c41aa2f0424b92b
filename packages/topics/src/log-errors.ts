/** What a failed read of the log means to a client. */
import { LogDamaged, LogError } from '@millrace/log-store'
import { MillraceError } from '@millrace/record'

/**
 * @param outOfRange for an offset that the log no longer holds
 * @returns the error to answer with; broken assertions and the like pass unchanged
 */
export function readError(error: unknown, outOfRange: () => MillraceError): unknown {
  if (!(error instanceof LogError)) return error
  if (error instanceof LogDamaged) {
    const { before, last } = error.hole
    const [firstOffset, nextOffset] = [before.nextOffset, last.nextOffset]
    const records = `they hold the records from offset ${firstOffset} to before ${nextOffset}, where reading can go on`
    const message = `${error.message}, which are asked for them; ${records}`
    return new MillraceError('RANGE_DAMAGED', message, { cause: error, details: { firstOffset, nextOffset } })
  }
  switch (error.code) {
    case 'COMPACTED':
    case 'OUT_OF_RANGE':
      return outOfRange()
    case 'CLOSED':
      return new MillraceError('SHUTTING_DOWN', 'the log is being closed', { cause: error })
    default:
      return new MillraceError('PARTITION_HALTED', `the log cannot be read: ${error.message}`, { cause: error })
  }
}
