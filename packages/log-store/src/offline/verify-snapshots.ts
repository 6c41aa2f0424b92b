/** Checks the snapshots of all groups: `snapshots/<group>/` in the data folder, every file read to its end. */
import {
  contentStart,
  isContentWhole,
  isSnapshotFileName,
  readSnapshotHeader,
  SNAPSHOTS_FOLDER,
  snapshotFileName,
} from '../snapshot-file.ts'
import { TRASH_FOLDER } from '../trash.ts'
import { listSorted } from './offline-folder.ts'
import type { VerifyContext } from './verify-context.ts'

export async function verifySnapshots(context: VerifyContext, root: string): Promise<void> {
  const { disk, findings } = context
  const parent = `${root}/${SNAPSHOTS_FOLDER}`
  for (const group of await listSorted(disk, parent)) {
    if (group === TRASH_FOLDER) {
      const removed = await listSorted(disk, `${parent}/${group}`)
      if (removed.length > 0) findings.skipped(`${parent}/${group}`, 'removed files, deleted after a delay')
      continue
    }
    if (!/^\d+$/.test(group)) {
      findings.skipped(`${parent}/${group}`, 'not the snapshots of a group')
      continue
    }
    for (const name of await listSorted(disk, `${parent}/${group}`)) {
      const path = `${parent}/${group}/${name}`
      if (isSnapshotFileName(name)) await verifySnapshot(context, path, name, Number(group))
      else if (name.endsWith('.new')) findings.note(path, 'it was not finished; the next start deletes it')
      else findings.skipped(path, 'not a snapshot')
    }
  }
}

async function verifySnapshot(
  { disk, findings }: VerifyContext,
  path: string,
  name: string,
  group: number,
): Promise<void> {
  const file = await disk.open(path, 'read')
  try {
    findings.counts.snapshots++
    const info = await readSnapshotHeader(file, group)
    if (typeof info === 'string') findings.damaged(path, 0, `snapshot of group ${group}: ${info}`)
    else if (snapshotFileName(info) !== name)
      findings.damaged(path, 0, `snapshot of group ${group}: it is of entry ${info.index}, term ${info.term}`)
    else if (!(await isContentWhole(file, info)))
      findings.damaged(path, contentStart(info), `snapshot of group ${group}: its content does not match the checksum`)
  } finally {
    await file.close()
  }
}
