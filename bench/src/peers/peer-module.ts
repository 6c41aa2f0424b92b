/** Modules of the peers' clients, which are installed outside of this workspace. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * @param folder in which node_modules is
 * @typeParam T what of the module is used: nobody but the module itself can check it
 */
export async function importPeer<T>(folder: string, name: string): Promise<T> {
  const path = createRequire(join(folder, 'package.json')).resolve(name)
  const module = (await import(pathToFileURL(path).href)) as T
  return module
}

/** The version of a package that is installed in `folder`. */
export function installedVersion(folder: string, name: string): string {
  const { version } = JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as {
    version: string
  }
  return version
}
