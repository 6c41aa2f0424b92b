/** `millrace backup verify`: reads a backup from end to end and says what is not as it was written. Changes nothing. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BackupError } from './backup-error.ts'
import { type BackupDamage, type GroupScan, scanGroup } from './group-scan.ts'
import {
  type BackupGroup,
  type BackupManifest,
  baseOf,
  GROUPS_FOLDER,
  groupFiles,
  MANIFEST_FILE,
  readManifest,
  SUMS_FILE,
  sha256Of,
  sumsText,
} from './manifest.ts'

export interface BackupReport {
  /** Undefined where it cannot be read; that is damage then. */
  readonly manifest: BackupManifest | undefined
  /** Of the manifest as it is: two whole backups with the same one are the same. */
  readonly manifestSha256: string
  /** Empty: the backup is whole. */
  readonly damage: readonly BackupDamage[]
  /** Files that are no part of the backup; they cost nothing. */
  readonly others: readonly string[]
}

export interface VerifyBackupOptions {
  /** Bytes read so far, of how many that the manifest names. */
  readonly onProgress?: (bytesRead: number, bytesTotal: number) => void
}

/** @throws BackupError NOT_A_BACKUP where there is no folder, or one that no backup was finished in */
export async function verifyBackup(dir: string, options: VerifyBackupOptions = {}): Promise<BackupReport> {
  const bytes = await manifestOf(dir)
  const manifestSha256 = sha256Of(bytes)
  const damage: BackupDamage[] = []
  const sums = await readFile(join(dir, SUMS_FILE), 'utf8').catch(() => '')
  if (!sums.startsWith(`${manifestSha256}  ${MANIFEST_FILE}\n`))
    damage.push({ file: MANIFEST_FILE, what: `does not match its checksum in ${SUMS_FILE}: one of the two is damaged` })
  let manifest: BackupManifest
  try {
    manifest = readManifest(bytes)
  } catch (error) {
    if (!(error instanceof BackupError)) throw error
    return {
      manifest: undefined,
      manifestSha256,
      damage: [...damage, { file: MANIFEST_FILE, what: error.message }],
      others: [],
    }
  }
  if (damage.length === 0 && sums !== sumsText(manifest, bytes))
    damage.push({ file: SUMS_FILE, what: `does not list what ${MANIFEST_FILE} says` })
  let bytesRead = 0
  const bytesTotal = manifest.groups.reduce((sum, { state, frames }) => sum + state.bytes + frames.bytes, 0)
  for (const group of manifest.groups) {
    damage.push(
      ...(await verifyGroup(dir, group, read => {
        bytesRead += read
        options.onProgress?.(Math.min(bytesRead, bytesTotal), bytesTotal)
      })),
    )
  }
  return { manifest, manifestSha256, damage, others: await othersIn(dir, manifest) }
}

async function manifestOf(dir: string): Promise<Buffer> {
  try {
    return await readFile(join(dir, MANIFEST_FILE))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new BackupError(
      'NOT_A_BACKUP',
      `${dir} is not a finished backup: ${reason}. A folder with a name in .partial is one that was broken off, or still goes on`,
      error,
    )
  }
}

async function verifyGroup(
  dir: string,
  group: BackupGroup,
  onBytes: (bytes: number) => void,
): Promise<readonly BackupDamage[]> {
  const extent = { group: group.group, base: baseOf(group), point: group.point, stateHash: group.state.hash }
  const scan = await scanGroup(dir, extent, onBytes)
  return [...scan.damage, ...differences(group, scan)]
}

/** A file whose checksum differs and that nothing else was found in is damaged all the same. */
function differences(group: BackupGroup, scan: GroupScan): BackupDamage[] {
  const files = groupFiles(group.group)
  const found: BackupDamage[] = []
  for (const part of ['state', 'frames'] as const) {
    if (scan.damage.some(({ file }) => file === files[part])) continue
    const differs = Object.entries(group[part]).find(([name, value]) => Reflect.get(scan[part], name) !== value)
    if (differs === undefined) continue
    const [name, value] = differs
    const what = `${name} is ${String(Reflect.get(scan[part], name))}, in the manifest ${String(value)}`
    found.push({ file: files[part], what })
  }
  const { index, bytes } = scan.configuration
  if (
    found.length === 0 &&
    scan.damage.length === 0 &&
    (index !== group.configuration.index || bytes !== group.configuration.bytes)
  )
    found.push({ file: MANIFEST_FILE, what: `group ${group.group}: the configuration at the point is another one` })
  return found
}

async function othersIn(dir: string, { groups }: BackupManifest): Promise<string[]> {
  const known = new Set([MANIFEST_FILE, SUMS_FILE, GROUPS_FOLDER])
  const files = new Set(groups.flatMap(({ group }) => Object.values(groupFiles(group))))
  const others = (await readdir(dir)).filter(name => !known.has(name))
  const inGroups = (await readdir(join(dir, GROUPS_FOLDER)).catch(() => [])).map(name => `${GROUPS_FOLDER}/${name}`)
  return [...others, ...inGroups.filter(name => !files.has(name))].sort()
}
