/**
 * Verification of a data folder that no process uses: every checksum of every file that this package writes, and whether
 * the files agree with each other. Reads everything once, changes nothing, goes on after damage.
 */
import { errnoOf, openIfThere } from '../disk.ts'
import { OWNER_FILE_NAME } from '../folder-lock.ts'
import { type FolderIdentity, IDENTITY_FILE_NAME, readIdentity } from '../identity-file.ts'
import { LogError } from '../log-store.ts'
import { SNAPSHOTS_FOLDER } from '../snapshot-file.ts'
import { SPARE_FOLDER } from '../spare-segments.ts'
import { TRASH_FOLDER } from '../trash.ts'
import { VOTE_FILE_NAME } from '../vote-file.ts'
import { type Damage, Findings, type LogExtent, type Remark, type VerifyCounts } from './findings.ts'
import { LOG_FOLDER, listGroups, listSorted, type OfflineFolder, openOffline } from './offline-folder.ts'
import type { VerifyContext } from './verify-context.ts'
import { verifyGroup } from './verify-group.ts'
import { verifyMark } from './verify-mark.ts'
import { verifySnapshots } from './verify-snapshots.ts'
import { verifyVotes } from './verify-votes.ts'

/** The names that {@link verifyDataFolder} knows; all others are listed as not checked. */
const KNOWN_HERE: ReadonlySet<string> = new Set([
  IDENTITY_FILE_NAME,
  OWNER_FILE_NAME,
  LOG_FOLDER,
  SNAPSHOTS_FOLDER,
  'lost+found',
])
const KNOWN_IN_LOG: ReadonlySet<string> = new Set([VOTE_FILE_NAME, 'mark-a', 'mark-b', 'groups'])
/** Folders of files that are no part of any log. */
const KEPT_IN_LOG: ReadonlyMap<string, string> = new Map([
  [TRASH_FOLDER, 'removed files, deleted after a delay'],
  [SPARE_FOLDER, 'trimmed segments, kept as space for new ones until the next start'],
])

/** What a check of something beside the log found. File names are relative to the data folder. */
export interface BesideFindings {
  readonly damage: readonly Damage[]
  readonly notes: readonly Remark[]
  readonly notChecked: readonly Remark[]
}

/** Something in the data folder that this package knows nothing about. */
export interface BesideCheck {
  /** In the data folder; may be missing. */
  readonly name: string
  /** Called after everything else, while the folder is locked. Changes nothing. Errors of the system are told as such. */
  check(dataFolder: string, extents: readonly LogExtent[]): BesideFindings
}

export interface VerifyOptions {
  /** Checks for what else a node keeps in its data folder. Default: none, and all else is listed as not checked. */
  readonly beside?: readonly BesideCheck[]

  /** Hears now and then how many bytes have been read, of how many that there are in segments. */
  readonly onProgress?: (bytesRead: number, bytesTotal: number) => void
}

export interface VerifyReport {
  /** Null where it cannot be read; that is damage then. */
  readonly identity: FolderIdentity | null
  /** Whether the last process stopped in order. */
  readonly cleanStop: boolean
  readonly counts: Readonly<VerifyCounts>
  /** Empty: everything that was checked is whole. */
  readonly damage: readonly Damage[]
  /** Damage whose entries are whole in a patch: nothing is lost. */
  readonly repaired: readonly Damage[]
  /** What loses nothing and the next start takes care of. */
  readonly notes: readonly Remark[]
  readonly notChecked: readonly Remark[]
}

/**
 * Checks a data folder. Takes the folder's lock for the time.
 *
 * @throws LogError `FOLDER_IN_USE` naming the process, `IDENTITY` where it is no data folder, `IO` where a file cannot
 *   be read at all
 */
export async function verifyDataFolder(path: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  let bytesRead = 0
  let bytesTotal = 0
  const folder = await openOffline(path, bytes => {
    bytesRead += bytes
    options.onProgress?.(Math.min(bytesRead, bytesTotal), bytesTotal)
  })
  try {
    bytesTotal = await segmentBytes(folder)
    return await verifyFolder(folder, options.beside ?? [])
  } catch (error) {
    if (error instanceof LogError || errnoOf(error) === undefined) throw error
    throw new LogError('IO', `cannot read all of ${folder.path}: ${(error as Error).message}`, error)
  } finally {
    await folder.close()
  }
}

async function verifyFolder(
  { path, logDir, disk }: OfflineFolder,
  beside: readonly BesideCheck[],
): Promise<VerifyReport> {
  const findings = new Findings(path)
  const context: VerifyContext = { disk, logDir, findings }
  const identity = await verifyIdentity(context, path)
  const mark = await verifyMark(context)
  const cleanStop = mark?.clean ?? false
  const slots = await verifyVotes(context, cleanStop)
  const groups = new Set([...(await listGroups(disk, logDir)), ...slots.keys()])
  for (const group of [...groups].sort((a, b) => a - b)) await verifyGroup(context, group, { mark, slots })
  await verifySnapshots(context, path)
  await listNotChecked(context, path, new Set(beside.map(({ name }) => name)))
  for (const each of beside) {
    const found = each.check(path, findings.extents)
    findings.damage.push(...found.damage)
    findings.notes.push(...found.notes)
    findings.notChecked.push(...found.notChecked)
  }
  const { counts, damage, repaired, notes, notChecked } = findings
  return { identity, cleanStop, counts, damage, repaired, notes, notChecked }
}

async function verifyIdentity({ disk, findings }: VerifyContext, root: string): Promise<FolderIdentity | null> {
  try {
    const identity = await readIdentity(disk, root)
    if (identity === null) findings.damaged(`${root}/${IDENTITY_FILE_NAME}`, 0, 'the file is missing')
    return identity
  } catch (error) {
    if (!(error instanceof LogError)) throw error
    findings.damaged(`${root}/${IDENTITY_FILE_NAME}`, 0, error.message)
    return null
  }
}

async function listNotChecked(
  { disk, logDir, findings }: VerifyContext,
  root: string,
  beside: ReadonlySet<string>,
): Promise<void> {
  for (const name of await listSorted(disk, root))
    if (!KNOWN_HERE.has(name) && !beside.has(name)) findings.skipped(`${root}/${name}`, 'not a file of the log')
  for (const name of await listSorted(disk, logDir)) {
    if (KNOWN_IN_LOG.has(name)) continue
    const use = KEPT_IN_LOG.get(name)
    if (use === undefined) findings.skipped(`${logDir}/${name}`, 'not a file of the log')
    else if ((await listSorted(disk, `${logDir}/${name}`)).length > 0) findings.skipped(`${logDir}/${name}`, use)
  }
  for (const name of await listSorted(disk, `${logDir}/groups`))
    if (!/^\d+$/.test(name)) findings.skipped(`${logDir}/groups/${name}`, 'not a group')
}

async function segmentBytes({ disk, logDir }: OfflineFolder): Promise<number> {
  let total = 0
  for (const group of await listGroups(disk, logDir)) {
    const folder = `${logDir}/groups/${group}`
    for (const name of await listSorted(disk, folder)) {
      const file = name.endsWith('.log') ? await openIfThere(disk, `${folder}/${name}`, 'read') : null
      total += (await file?.size()) ?? 0
      await file?.close()
    }
  }
  return total
}
