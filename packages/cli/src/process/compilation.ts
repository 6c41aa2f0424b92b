/** What V8 has compiled is kept, so that the next process need not compile it again. */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { isAbsolute, join } from 'node:path'

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

/** What has been compiled goes into the cache now: a process that is killed has no time for it at its end. */
export function keepCompiled(): void {
  flushCompileCache()
}
