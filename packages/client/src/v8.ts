/**
 * Settings of V8 for a process that mostly moves records. They last for the whole process, so nothing here happens by
 * itself: a program that has the process for its own calls it, as the `millrace` command does.
 */
import { setFlagsFromString } from 'node:v8'

/** The V8 that has the flags: that of Node 24. Another one might not, and would complain on standard error. */
const V8_MAJOR = '13'
/** Above what the last collection of the whole heap has left, buffers included. */
const GROWTH_PERCENT = 200

/**
 * Suits V8's collector to memory that is mostly buffers outside of the heap, and to buffers that die soon:
 * docs/decisions/0015-young-buffers.md. To be called before anything else; with a V8 other than Node 24's it does nothing.
 *
 * By default V8 marks the whole heap for each 64 MiB of new buffers, however many of them have died. With buffers counted in
 * the limit of the heap, and that limit at three times of what a collection has left, the collections of the young, which
 * come anyway, find nearly all of them first. The heap may grow to that limit, too, by whatever else the program keeps.
 */
export function collectYoungBuffersFirst(): void {
  setV8Flags('--external-memory-accounted-in-global-limit', `--heap-growing-percent=${GROWTH_PERCENT}`)
}

/**
 * Functions that are called again and again are optimised after a quarter of the calls that V8 waits for by itself, so that
 * the first minute is as fast as those after it. To be called when a process has started: before, its start would wait for
 * the compiler. With a V8 other than Node 24's it does nothing.
 */
export function optimiseSooner(): void {
  setV8Flags('--invocation-count-for-maglev=100', '--invocation-count-for-turbofan=500')
}

function setV8Flags(...flags: readonly string[]): void {
  if (!process.versions.v8.startsWith(`${V8_MAJOR}.`)) return
  for (const flag of flags) setFlagsFromString(flag)
}
