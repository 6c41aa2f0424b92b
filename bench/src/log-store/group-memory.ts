/**
 * What many open groups cost: resident memory and open files of a fresh process that has them, against one that has a
 * single group. Both first go through as much short-lived memory as V8's young generation takes, which belongs to the
 * process and not to its groups: else whoever opens more would touch more of it.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { median } from '../statistics.ts'
import { printRow } from './figures.ts'
import type { OpenPlan } from './openings.ts'
import { append, createLog, openStore, sealFrames } from './store-log.ts'

const TURNS = 5
/** Runs the benchmark's process as one that only measures itself. */
export const MEMORY_FLAG = '--memory-with'

/** Of a process. */
interface Footprint {
  readonly residentBytes: number
  readonly heapBytes: number
  readonly openFiles: number
}

/** Prints what an open group costs. */
export async function benchGroupMemory({ dir, divisor }: OpenPlan): Promise<void> {
  const groups = Math.ceil(1_000 / divisor)
  for (const count of [1, 1 + groups]) await fill(join(dir, `groups-${count}`), count)
  printRow(`KiB per open group, of ${groups}`, ['resident', 'heap in use', 'open files'])
  for (const state of ['opened', 'written'] as const) {
    const samples = Array.from({ length: TURNS }, () => {
      const few = footprint(join(dir, 'groups-1'), state)
      const many = footprint(join(dir, `groups-${1 + groups}`), state)
      return {
        resident: (many.residentBytes - few.residentBytes) / groups / 1_024,
        heap: (many.heapBytes - few.heapBytes) / groups / 1_024,
        openFiles: many.openFiles,
      }
    })
    const middle = (figure: keyof (typeof samples)[0]): number => median(samples.map(sample => sample[figure]))
    const name = state === 'opened' ? '  opened' : '  opened and written to'
    printRow(name, [middle('resident').toFixed(1), middle('heap').toFixed(1), middle('openFiles').toFixed(0)])
  }
  for (const count of [1, 1 + groups]) await rm(join(dir, `groups-${count}`), { recursive: true })
}

async function fill(folder: string, count: number): Promise<void> {
  await mkdir(folder)
  const store = await openStore(folder)
  for (let group = 1; group <= count; group++) {
    const log = await createLog(store, group)
    for (let write = 0; write < 3; write++) await append(log, sealFrames(log, 4, new Uint8Array(1_000)))
  }
  await store.close()
}

/** Of a fresh process that has the store of a folder open. */
function footprint(folder: string, state: 'opened' | 'written'): Footprint {
  const args = ['--expose-gc', ...process.execArgv, process.argv[1] as string, 'log-store', MEMORY_FLAG, state, folder]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Footprint
}

/** In that process: opens the store, perhaps writes to every group, and prints its own footprint. */
export async function measureMemory(state: string, folder: string): Promise<void> {
  const store = await openStore(folder, { tailCacheBytesMax: 0 })
  if (state === 'written')
    for (const log of store.groups()) await append(log, sealFrames(log, 1, new Uint8Array(1_000)))
  const openFiles = readdirSync('/proc/self/fd').length
  fillYoungGeneration()
  for (let turn = 0; turn < 5; turn++) {
    globalThis.gc?.()
    await sleep(20)
  }
  const { rss: residentBytes, heapUsed: heapBytes } = process.memoryUsage()
  process.stdout.write(JSON.stringify({ residentBytes, heapBytes, openFiles } satisfies Footprint))
  await store.close()
}

/** Some of it lives for a moment, so that the young generation grows to its full size, and all of it is used. */
function fillYoungGeneration(): void {
  const alive: number[][] = []
  for (let made = 0; made < 2_000_000; made++) {
    alive[made % 50_000] = Array.from({ length: 8 }, () => made)
  }
}
