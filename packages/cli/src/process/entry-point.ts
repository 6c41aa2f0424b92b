/**
 * How this installation starts its own processes. From a checkout the sources run as they are, under the
 * `millrace-source` condition; from a published package the built files do. This file decides, nobody else.
 */
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

const EXTENSION = extname(import.meta.url)

/** Whether the sources are running. */
export const FROM_SOURCES: boolean = EXTENSION === '.ts'

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
  return new URL(`../${module}${EXTENSION}`, import.meta.url)
}
