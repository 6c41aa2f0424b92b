/** A folder for the time of a test. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TemporaryFolder {
  readonly path: string
  [Symbol.dispose](): void
}

/** Makes an empty folder that is removed, with everything in it, by `using`. */
export function temporaryFolder(name: string = 'test'): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), `millrace-${name}-`))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }) }
}
