/** The form of a batch, before anything is decided: numbers in their ranges, sizes within their limits. Pure. */
import { LIMITS, MillraceError } from '@millrace/record'
import type { AppendBatch } from './partition.ts'

const UINT32_MAX = 0xffff_ffff

/** @returns why the batch is refused, or undefined where its form is right */
export function checkBatch(batch: AppendBatch): MillraceError | undefined {
  const { payload, count, payloadCrc, producer } = batch
  if (payload.length > LIMITS.recordSetBytesMax) {
    const message = `a record set of ${payload.length} bytes is above the limit of ${LIMITS.recordSetBytesMax} (recordSetBytesMax)`
    return new MillraceError('RECORD_TOO_LARGE', message, { details: { limit: LIMITS.recordSetBytesMax } })
  }
  if (!Number.isInteger(count) || count < 1 || count > LIMITS.recordsPerSetMax) {
    return invalid(`a record set of ${count} records: must be 1 to ${LIMITS.recordsPerSetMax} (recordsPerSetMax)`)
  }
  if (!isUint32(payloadCrc)) return invalid(`a payload checksum of ${payloadCrc}: must be an unsigned 32-bit integer`)
  if (producer === undefined) return undefined
  if (producer.id.length !== 16) return invalid(`a producer id of ${producer.id.length} bytes: must be 16`)
  if (producer.id.every(byte => byte === 0)) return invalid('a producer id of zeroes: it stands for no producer')
  if (!isUint32(producer.epoch)) return invalid(`producer epoch ${producer.epoch}: must be 0 to ${UINT32_MAX}`)
  if (!isUint32(producer.sequence))
    return invalid(`sequence ${producer.sequence}: must be 0 to ${UINT32_MAX}; start a new epoch`)
  return undefined
}

function isUint32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= UINT32_MAX
}

function invalid(message: string): MillraceError {
  return new MillraceError('INVALID_ARGUMENT', message)
}
