/** Opening: a log of many segments after a clean and after an unclean stop, and the memory of many open groups. */
import { execFileSync } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { median } from '../statistics.ts'
import { inTurns, printRow, secondsOf } from './figures.ts'
import { append, createLog, openStore, sealFrames } from './store-log.ts'

const MIB = 1_048_576
const TURNS = 5
/** Runs the benchmark's process as one that only measures its own memory. */
export const MEMORY_FLAG = '--resident-bytes-with'

export interface OpenPlan {
  readonly dir: string
  readonly divisor: number
}

/** Prints everything about opening. */
export async function benchOpenings(plan: OpenPlan): Promise<void> {
  await openSegments(plan)
  await openGroups(plan)
}

async function openSegments({ dir, divisor }: OpenPlan): Promise<void> {
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
  const open = async (): Promise<number> => {
    let store = filling
    const seconds = await secondsOf(async () => {
      store = await openStore(folder, limits)
    })
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
  await rm(folder, { recursive: true })
}

async function openGroups({ dir, divisor }: OpenPlan): Promise<void> {
  const groups = Math.ceil(1_000 / divisor)
  for (const count of [1, 1 + groups]) {
    const folder = join(dir, `groups-${count}`)
    await mkdir(folder)
    const store = await openStore(folder)
    for (let group = 1; group <= count; group++) {
      const log = await createLog(store, group)
      for (let write = 0; write < 3; write++) await append(log, sealFrames(log, 4, new Uint8Array(1_000)))
    }
    await store.close()
  }
  printRow(`resident KiB per open group, of ${groups}`, ['opened', 'written to'])
  const cells = (['opened', 'written'] as const).map(state => {
    const samples = Array.from({ length: TURNS }, () => {
      const few = residentBytes(join(dir, 'groups-1'), state)
      const many = residentBytes(join(dir, `groups-${1 + groups}`), state)
      return (many - few) / groups / 1_024
    })
    return median(samples).toFixed(1)
  })
  printRow('', cells)
  for (const count of [1, 1 + groups]) await rm(join(dir, `groups-${count}`), { recursive: true })
}

/** Resident memory of a fresh process that has the store of a folder open. */
function residentBytes(folder: string, state: 'opened' | 'written'): number {
  const args = ['--expose-gc', ...process.execArgv, process.argv[1] as string, 'log-store', MEMORY_FLAG, state, folder]
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }))
}

/** In that process: opens the store, perhaps writes to every group, and prints what is resident then. */
export async function measureMemory(state: string, folder: string): Promise<void> {
  const store = await openStore(folder, { tailCacheBytesMax: 0 })
  if (state === 'written')
    for (const log of store.groups()) await append(log, sealFrames(log, 1, new Uint8Array(1_000)))
  for (let turn = 0; turn < 5; turn++) {
    globalThis.gc?.()
    await sleep(20)
  }
  process.stdout.write(`${process.memoryUsage.rss()}\n`)
  await store.close()
}
