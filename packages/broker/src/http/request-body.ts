/**
 * Reads the body of a request up to a limit. A body above it is refused by its announced length before it is read; one
 * that turns out too long is read to its end, up to a bound, and thrown away, so that the client sees the answer.
 */
import { type LIMITS, MillraceError } from '@millrace/record'
import type { NodeRequest } from './node-http.ts'

/** What is read and thrown away at most, after the limit. */
const DISCARD_BYTES_MAX = 16 * 1_048_576

/**
 * @param bytesMax at most this many bytes
 * @param limit its name, for the message
 * @throws MillraceError RECORD_TOO_LARGE naming the limit; CANCELLED when the client went away
 */
export async function readBody(
  request: NodeRequest,
  bytesMax: number,
  limit: keyof typeof LIMITS,
): Promise<Uint8Array<ArrayBufferLike>> {
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > bytesMax + DISCARD_BYTES_MAX) throw tooLong(announced, bytesMax, limit)
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of request as AsyncIterable<Uint8Array>) {
      bytes += chunk.length
      if (bytes <= bytesMax) chunks.push(chunk)
      else chunks.length = 0
      if (bytes > bytesMax + DISCARD_BYTES_MAX) break
    }
  } catch (error) {
    throw new MillraceError('CANCELLED', 'the request ended before its body was complete', {
      cause: error,
      outcome: 'not_stored',
    })
  }
  if (bytes > bytesMax) throw tooLong(bytes, bytesMax, limit)
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}

function tooLong(size: number, max: number, limit: string): MillraceError {
  return new MillraceError('RECORD_TOO_LARGE', `body bytes: ${size} is above the limit of ${max} (${limit})`, {
    details: { limit, size, max },
  })
}
