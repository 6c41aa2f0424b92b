/**
 * Suits V8's collector to a node, whose memory is mostly buffers outside of the heap, and whose buffers live for as long as
 * the tail cache keeps them: docs/decisions/0015-young-buffers.md.
 *
 * By default V8 marks the whole heap for each 64 MiB of new buffers, however many of them have died. With buffers counted in
 * the limit of the heap, and that limit at three times of what a collection has left, the collections of the young, which
 * come anyway, find nearly all of them first.
 */
import { setV8Flags } from './v8-flags.ts'

/** Above what the last collection of the whole heap has left, buffers included. */
const GROWTH_PERCENT = 200

/** To be called before the node does anything; it lasts for the process. */
export function collectYoungBuffersFirst(): void {
  setV8Flags('--external-memory-accounted-in-global-limit', `--heap-growing-percent=${GROWTH_PERCENT}`)
}
