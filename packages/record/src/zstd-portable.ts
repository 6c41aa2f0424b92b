/** Where there is no zstd (browsers): saying so. */
import { MillraceError } from './errors.ts'

export const zstdSupported: boolean = false

export function zstdUnsupported(): MillraceError {
  return new MillraceError(
    'UNSUPPORTED',
    'this record set is compressed with zstd, which this runtime does not have (Node has it from 22.15 on): ' +
      'read as RECORDS, or append to this topic without compression',
    { details: { codec: 'zstd' } },
  )
}

export function zstdCompress(_bytes: Uint8Array): Uint8Array {
  throw zstdUnsupported()
}

export function zstdDecompress(_bytes: Uint8Array, _lengthMax: number): Uint8Array {
  throw zstdUnsupported()
}
