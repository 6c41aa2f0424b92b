/**
 * Suits V8's collector to a node, whose memory is mostly buffers outside of the heap. By default V8 collects the whole heap
 * after every few tens of megabytes of new buffers, however many of them have died; with buffers counted in the limit of
 * the heap it collects the young ones, and the whole only when both together have grown.
 */
import { setFlagsFromString } from 'node:v8'

/** The V8 that has the flag: that of Node 24. Another one might not, and would complain on standard error. */
const V8_MAJOR = '13'

export function countBuffersInHeapLimit(): void {
  if (process.versions.v8.startsWith(`${V8_MAJOR}.`)) setFlagsFromString('--external-memory-accounted-in-global-limit')
}
