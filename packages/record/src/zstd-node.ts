/** zstd of Node (22.15 or newer), native. The import is of the namespace: an older Node has no such names to link. */
import * as zlib from 'node:zlib'
import { zstdUnsupported } from './zstd-portable.ts'

/** Whether this runtime can write zstd. */
export const zstdSupported: boolean = typeof zlib.zstdCompressSync === 'function'

export function zstdCompress(bytes: Uint8Array): Uint8Array {
  if (!zstdSupported) throw zstdUnsupported()
  return zlib.zstdCompressSync(bytes)
}

/** Never gives back more than `lengthMax` bytes: throws instead. */
export function zstdDecompress(bytes: Uint8Array, lengthMax: number): Uint8Array {
  if (!zstdSupported) throw zstdUnsupported()
  return zlib.zstdDecompressSync(bytes, { maxOutputLength: Math.max(lengthMax, 1) })
}
