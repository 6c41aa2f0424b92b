/** Checks the patches of a group, and tells which damage they repair. */
import type { Patch } from '../log-pieces.ts'
import type { BaseRecord } from '../log-store.ts'
import { openPatch, parsePatchFileName } from '../patch-file.ts'
import { settle } from '../recovered-patches.ts'
import type { GroupFiles } from './group-files.ts'
import type { VerifyContext } from './verify-context.ts'

/** @returns those that count, rising */
export async function verifyPatches(
  { disk, findings }: VerifyContext,
  files: GroupFiles,
  group: number,
  base: Pick<BaseRecord, 'index' | 'voidBelow'>,
): Promise<readonly Patch[]> {
  const live: Patch[] = []
  for (const fileName of files.patches) {
    const path = `${files.folder}/${fileName}`
    const name = parsePatchFileName(fileName)!
    findings.counts.patches++
    const patch = await openPatch(disk, path, group, name)
    if (typeof patch === 'string') {
      if (name.last <= base.index) findings.note(path, `below the log's base; it is damaged (${patch})`)
      else findings.damaged(path, 0, `patch: ${patch}; what it repaired is damage again`)
    } else if (settle(patch, base, files.segmentNames)) {
      live.push(patch)
    } else {
      findings.note(path, 'a patch that no longer counts; the next start moves it to the trash')
    }
  }
  return live.sort((a, b) => a.source.header.base.index - b.source.header.base.index)
}

/** Whether all of the entries [first, last] are in patches. */
export function isPatched(patches: readonly Patch[], first: number, last: number): boolean {
  let next = first
  for (const { source } of patches) if (source.header.base.index < next) next = Math.max(next, source.limit + 1)
  return next > last
}
