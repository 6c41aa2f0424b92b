/**
 * How this installation starts its own processes. From a checkout the sources run as they are, under the
 * `millrace-source` condition; from a published package the bundled programs do. This file decides, nobody else.
 */
import { findPackageJSON } from 'node:module'
import { extname } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const EXTENSION = extname(import.meta.url)

/** Whether the sources are running. */
export const FROM_SOURCES: boolean = EXTENSION === '.ts'

/** Path of this package's `package.json`, which every installation has. */
export const PACKAGE_FILE: string = findPackageJSON('.', import.meta.url)!

/** Of the programs: `bundle.ts` makes the second. */
const FOLDER = FROM_SOURCES ? 'src' : 'program'

export interface EntryPoint {
  readonly file: string
  readonly args: readonly string[]
}

/** Command line of a `millrace` process. */
export function millrace(...args: readonly string[]): EntryPoint {
  return program('main', ...args)
}

/** Command line of a module of this package, named without its extension, relative to `src/`. */
export function program(module: string, ...args: readonly string[]): EntryPoint {
  const condition = FROM_SOURCES ? ['--conditions=millrace-source'] : []
  return { file: process.execPath, args: [...condition, fileURLToPath(moduleUrl(module)), ...args] }
}

/** URL of a module of this package, for worker threads. */
export function moduleUrl(module: string): URL {
  return new URL(`${FOLDER}/${module}${EXTENSION}`, pathToFileURL(PACKAGE_FILE))
}
