/** What V8 compiles, when, and that the next process need not compile it again. */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { isAbsolute, join } from 'node:path'
import { setV8Flags } from './v8-flags.ts'

/**
 * What is imported from now on comes out of the cache. A folder that cannot be written means nothing but time.
 *
 * @param env of the process
 */
export function useCompileCache(env: NodeJS.ProcessEnv = process.env): void {
  const folder = compileCacheFolder(env)
  if (folder !== undefined) enableCompileCache(folder)
}

/**
 * The user's own cache, and not the temporary files, which others on the machine may write to: what lies there is run.
 * `NODE_COMPILE_CACHE` says another folder; where neither is known there is none.
 */
export function compileCacheFolder(env: NodeJS.ProcessEnv): string | undefined {
  const { NODE_COMPILE_CACHE: chosen, XDG_CACHE_HOME: caches, HOME: home } = env
  if (chosen !== undefined && chosen !== '') return chosen
  const ours = join('millrace', 'compiled')
  // A relative one is to be ignored, says the specification of that variable.
  if (caches !== undefined && isAbsolute(caches)) return join(caches, ours)
  return home !== undefined && isAbsolute(home) ? join(home, '.cache', ours) : undefined
}

/**
 * The node runs: functions that are called again and again are optimised after a quarter of the calls that V8 waits for by
 * itself, so that its first minute is as fast as those after it. Not before: its start would wait for the compiler.
 */
export function optimiseSooner(): void {
  setV8Flags('--invocation-count-for-maglev=100', '--invocation-count-for-turbofan=500')
}

/** What has been compiled goes into the cache now: a process that is killed has no time for it at its end. */
export function keepCompiled(): void {
  flushCompileCache()
}
