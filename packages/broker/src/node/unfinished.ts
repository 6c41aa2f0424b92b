/**
 * The mark of offline work on a data folder that takes several steps: restoring a backup, recovering from a lost majority.
 * While the file is there no node runs in the folder, since what is missing from it would be taken for what was never there.
 */
import { readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { StartError } from '../start-error.ts'
import { syncFolder, writeDurably } from './durable-file.ts'

const UNFINISHED_FILE = 'unfinished'

/** What was begun, and what to do about it. */
export interface UnfinishedWork {
  /** Such as `a restore`. */
  readonly what: string
  /** Such as `empty the folder, and restore again`. */
  readonly advice: string
}

/** Durable when it resolves. */
export async function beginWork(dataDir: string, work: UnfinishedWork): Promise<void> {
  await writeDurably(dataDir, UNFINISHED_FILE, `${JSON.stringify(work)}\n`)
}

/** The work is done: a node may run there. Durable when it resolves. Quiet where nothing was begun. */
export async function endWork(dataDir: string): Promise<void> {
  try {
    await unlink(join(dataDir, UNFINISHED_FILE))
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  await syncFolder(dataDir)
}

/**
 * @param except work that goes on with what it has begun itself, by its `what`
 * @throws StartError FOLDER_EMPTY where other work was begun in the folder and not finished
 */
export async function checkFinished(dataDir: string, except?: string): Promise<void> {
  let text: string
  try {
    text = await readFile(join(dataDir, UNFINISHED_FILE), 'utf8')
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  const { what, advice } = workOf(text)
  if (what === except) return
  throw new StartError('FOLDER_EMPTY', `data folder ${dataDir}: ${what} was interrupted there; ${advice}`)
}

/** The mark counts also where its text cannot be read. */
function workOf(text: string): UnfinishedWork {
  try {
    const { what, advice } = JSON.parse(text) as Partial<UnfinishedWork>
    if (what !== undefined && advice !== undefined) return { what, advice }
  } catch {
    // Told below, like a text that lacks a part.
  }
  return { what: 'a restore or a recovery', advice: 'run it again, or use another folder' }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
