/**
 * How a segment gets its name: header and first round go aside, become durable, and then take it. All of it is there
 * after a crash or nothing.
 */
import { type DiskFile, removeIfThere } from './disk.ts'
import type { FlushTask } from './flush-scheduler.ts'
import type { StoreContext } from './store-context.ts'

export interface NewSegment {
  readonly folder: string
  readonly path: string
  /** The file from its first byte on. */
  readonly buffers: readonly Uint8Array[]
  /** What {@link takeSpare} returned. */
  readonly recycledBytes: number
}

/** Fetches a file to write the segment at `path` over. @returns its bytes; 0: there is none */
export async function takeSpare({ spares, onProblem }: StoreContext, path: string): Promise<number> {
  try {
    return await spares.take(asideOf(path))
  } catch (error) {
    onProblem(error instanceof Error ? error : new Error(String(error)))
    return 0
  }
}

/** @returns whether the segment is there, durably; where not, the store is halted or closing */
export async function placeSegment(context: StoreContext, task: FlushTask, segment: NewSegment): Promise<boolean> {
  const { faults, disk } = context
  const { folder, path } = segment
  if (!(await writeAside(context, task, segment))) return false
  if (!(await faults.untilThereIsSpace(task, path, () => disk.rename(asideOf(path), path)))) return false
  return faults.sync(folder, () => disk.syncFolder(folder))
}

async function writeAside({ faults, disk }: StoreContext, task: FlushTask, segment: NewSegment): Promise<boolean> {
  const { buffers, recycledBytes } = segment
  const path = asideOf(segment.path)
  let file: DiskFile | null = null
  const write = async (): Promise<void> => {
    await file?.close()
    file = null
    if (recycledBytes === 0) await removeIfThere(disk, path)
    file = await disk.open(path, recycledBytes === 0 ? 'create' : 'write')
    await file.writev(buffers, 0)
  }
  const written = await faults.untilThereIsSpace(task, path, write)
  const aside = file as DiskFile | null
  if (aside === null) return false
  const isDurable = written && (await faults.sync(path, () => aside.datasync()))
  await aside.close()
  return isDurable
}

function asideOf(path: string): string {
  return `${path}.new`
}
