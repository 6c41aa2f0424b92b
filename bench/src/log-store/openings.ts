/** Opening a log of many segments, after a clean and after an unclean stop. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { bytesRead } from './cold-files.ts'
import { inTurns, printRow, secondsOf } from './figures.ts'
import { append, createLog, openStore, sealFrames } from './store-log.ts'

const MIB = 1_048_576
const TURNS = 5

export interface OpenPlan {
  readonly dir: string
  readonly divisor: number
}

/** Prints everything about opening. */
export async function benchOpenings({ dir, divisor }: OpenPlan): Promise<void> {
  const folder = join(dir, 'segments')
  await mkdir(folder)
  const segments = Math.ceil(1_000 / divisor)
  const limits = { segmentBytesMax: MIB, tailCacheBytesMax: 0 }
  const filling = await openStore(folder, limits)
  const log = await createLog(filling, 1)
  // Each write fills a segment: the next one starts another.
  for (let made = 0; made < segments; made++)
    await append(log, sealFrames(log, 16, new Uint8Array(65_536 - 104).fill(made)))
  await filling.close()
  const read: number[] = []
  const open = async (): Promise<number> => {
    let store = filling
    const before = bytesRead()
    const seconds = await secondsOf(async () => {
      store = await openStore(folder, limits)
    })
    read.push(bytesRead() - before)
    await store.close()
    return seconds * 1_000
  }
  const openUnclean = async (): Promise<number> => {
    // This one never stops in order as far as the folder knows.
    const killed = await openStore(folder, limits)
    const milliseconds = await open()
    await killed.close()
    await (await openStore(folder, limits)).close()
    return milliseconds
  }
  printRow(`open ${segments} segments of 1 MiB, ms`, ['clean stop', 'unclean'])
  const { clean, unclean } = await inTurns(TURNS, { clean: open, unclean: openUnclean })
  printRow('', [clean.toFixed(0), unclean.toFixed(0)])
  printRow('  MiB read for it, most', [(Math.max(...read) / MIB).toFixed(2)])
  await rm(folder, { recursive: true })
}
