/** Folders for tests on real files. Import this from tests only: it needs a real file system. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const made: string[] = []

/** A new, empty, private folder. */
export async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-log-'))
  made.push(path)
  return path
}

/** Removes every folder made in this process: give it to `afterAll`. */
export async function removeTemporaryFolders(): Promise<void> {
  for (const path of made.splice(0)) await rm(path, { recursive: true, force: true })
}
