/**
 * Memory of large messages, given back when they are done with instead of when the garbage collector finds them.
 *
 * V8 counts the bytes of buffers against a limit of its own: without this, replicating 20 MB costs a marking of the whole
 * heap, and hundreds of megabytes are garbage at any time. What uses a buffer after its release finds it empty.
 */

/** Smaller ones are cheap to collect, and may share their memory. */
const RELEASE_BYTES_MIN = 32 * 1024
/** A message may begin behind a prefix that nobody else looks at. */
const PREFIX_BYTES_MAX = 16

/**
 * Frees the memory behind `bytes` now, where that is all that is in it. Nobody may hold another view on it.
 *
 * @returns whether it was freed
 */
export function release(bytes: Uint8Array): boolean {
  const { buffer } = bytes
  if (!(buffer instanceof ArrayBuffer) || bytes.length < RELEASE_BYTES_MIN) return false
  if (buffer.byteLength - bytes.length > PREFIX_BYTES_MAX) return false
  buffer.transfer(0)
  return true
}
