/** How a file of a group that no longer counts goes: into the trash, from where it is deleted after a delay. */
import { removeIfThere } from './disk.ts'
import type { StoreContext } from './store-context.ts'

/** Puts a segment or a patch into the trash and drops its index. */
export async function discardSegment(
  context: Pick<StoreContext, 'trash' | 'disk' | 'onProblem'>,
  group: number,
  path: string,
): Promise<void> {
  try {
    await context.trash.take(path, `${group}-${path.slice(path.lastIndexOf('/') + 1)}`)
    await removeIfThere(context.disk, path.replace(/\.(log|patch)$/, '.index'))
  } catch (error) {
    context.onProblem(error instanceof Error ? error : new Error(String(error)))
  }
}
