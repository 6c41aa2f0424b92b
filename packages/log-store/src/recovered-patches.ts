/** The patches of a group at start: which of them count, and up to where. */
import { limitAbove } from './live-segments.ts'
import type { Patch } from './log-pieces.ts'
import { type BaseRecord, LogError } from './log-store.ts'
import { openPatch, parsePatchFileName } from './patch-file.ts'
import type { StoreContext } from './store-context.ts'

export interface RecoveredPatches {
  /** Rising. */
  readonly patches: readonly Patch[]
  /** Files that are void or below the base. */
  readonly dead: readonly string[]
}

/** Damaged ones are neither: they stay where they are, unused. */
export async function recoverPatches(
  { disk, onProblem }: Pick<StoreContext, 'disk' | 'onProblem'>,
  folder: string,
  group: number,
  base: BaseRecord,
  names: readonly string[],
): Promise<RecoveredPatches> {
  const live: Patch[] = []
  const dead: string[] = []
  for (const fileName of names) {
    const name = parsePatchFileName(fileName)
    if (name === null) continue
    const path = `${folder}/${fileName}`
    const patch = name.last <= base.index ? null : await openPatch(disk, path, group, name)
    if (typeof patch === 'string') {
      const what = `${path} is damaged (${patch}): what it repaired is a hole again. Nothing was changed`
      onProblem(new LogError('DAMAGED', what))
    } else if (patch === null || !settle(patch, base, names)) {
      dead.push(path)
    } else {
      live.push(patch)
    }
  }
  return { patches: live.sort((a, b) => a.source.header.base.index - b.source.header.base.index), dead }
}

/** Sets the last entry that counts. @returns whether there is one */
export function settle(
  { source }: Patch,
  base: Pick<BaseRecord, 'index' | 'voidBelow'>,
  names: readonly string[],
): boolean {
  const { generation } = source.header
  source.limit = Math.min(source.limit, limitAbove(names, generation))
  return generation >= base.voidBelow && source.limit > Math.max(base.index, source.header.base.index)
}
