/** Appends: throughput of large batches, latency of small ones, and many groups that want the disk at once. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { GroupLog, LogStore } from '@millrace/log-store'
import { appendInTurn, BareFile, type Space } from './bare-loop.ts'
import { inTurns, type Measure, printRow, ratio, secondsOf } from './figures.ts'
import { openRecycledLogs } from './recycled-logs.ts'
import { appendEach, createLog, openStore, sealFrames } from './store-log.ts'

const KIB = 1_024
/** The log in new files against a bare file that grows; in recycled files against bare writes over zeroes. */
const TITLES = ['new files', 'bare grows', '', 'recycled', 'over zeroes', '']
/** As many as the store has flush slots. */
const SLOTS = 2

export interface AppendPlan {
  readonly dir: string
  /** Makes everything shorter by this. */
  readonly divisor: number
}

/** What one comparison writes. */
interface Workload {
  readonly groups: number
  readonly bytes: number
  /** Writes of one group that may be in flight. Bare loops have one per file, whatever this says. */
  readonly window: number
  /** Writes to each group in one turn. */
  readonly writes: number
  readonly turns: number
}

/** Prints everything about appends. */
export async function benchAppends(plan: AppendPlan): Promise<void> {
  const bench = await AppendBench.open(plan)
  const { divisor } = plan
  const turns = Math.ceil(40 / divisor)
  try {
    printRow('append, MB/s', TITLES)
    for (const window of [1, 16]) {
      for (const bytes of [64 * KIB, 1_024 * KIB]) {
        const workload = { groups: 1, bytes, window, writes: bytes === 64 * KIB ? 32 : 4 * window ** 0.5, turns }
        const perWrite = await bench.compare(workload)
        printFigures(`  ${bytes / KIB} KiB, ${window} in flight`, perWrite, seconds => bytes / 1e6 / seconds, 0)
      }
    }
    printRow('append of 100 B alone, p50 in ms', TITLES)
    const single = await bench.compare({ groups: 1, bytes: 100, window: 1, writes: 1, turns: Math.ceil(600 / divisor) })
    printFigures('', single, seconds => seconds * 1_000, 3)
    printRow('dirty groups, writes/s', TITLES)
    for (const groups of [1, 10, 100]) {
      for (const bytes of [KIB, 16 * KIB, 64 * KIB]) {
        const writes = Math.max(2, Math.ceil(20 / groups))
        const perWrite = await bench.compare({ groups, bytes, window: 1, writes, turns: Math.ceil(turns / 2) })
        printFigures(`  ${groups} of ${bytes / KIB} KiB`, perWrite, seconds => 1 / seconds, 0)
      }
    }
  } finally {
    await bench.close()
  }
}

/** Seconds per write of each contestant. */
type Seconds = Readonly<Record<'store' | 'recycled' | Space, number>>

function printFigures(name: string, seconds: Seconds, figure: (seconds: number) => number, digits: number): void {
  const cells = (log: number, bare: number): string[] => [log.toFixed(digits), bare.toFixed(digits), ratio(log, bare)]
  const { store, extending, recycled, prepared } = seconds
  printRow(name, [...cells(figure(store), figure(extending)), ...cells(figure(recycled), figure(prepared))])
}

class AppendBench {
  readonly #dir: string
  readonly #store: LogStore
  #made = 0

  private constructor(dir: string, store: LogStore) {
    this.#dir = dir
    this.#store = store
  }

  static async open({ dir }: AppendPlan): Promise<AppendBench> {
    await mkdir(join(dir, 'bare'))
    return new AppendBench(dir, await openStore(join(dir, 'appends'), { trashKeepMs: 1_000, spareSegmentsMax: 0 }))
  }

  async close(): Promise<void> {
    await this.#store.close()
    await rm(join(this.#dir, 'appends'), { recursive: true })
    await rm(join(this.#dir, 'bare'), { recursive: true })
  }

  async compare(workload: Workload): Promise<Seconds> {
    const { groups, bytes, writes, turns } = workload
    const numbers = Array.from({ length: groups }, () => ++this.#made)
    const logs = await Promise.all(numbers.map(group => createLog(this.#store, group)))
    const recycledDir = join(this.#dir, `recycled-${++this.#made}`)
    const recycled = await openRecycledLogs(recycledDir, groups, (bytes + KIB) * writes * (turns + 1))
    const extending = this.#bareFiles(workload, 'extending')
    const prepared = this.#bareFiles(workload, 'prepared')
    const seconds = await inTurns(turns, {
      store: storeTurn(logs, workload),
      recycled: storeTurn(recycled.logs, workload),
      extending: bareTurn(extending, workload),
      prepared: bareTurn(prepared, workload),
    })
    for (const { group } of logs) await this.#store.drop(group)
    await recycled.store.close()
    await rm(recycledDir, { recursive: true })
    for (const file of [...extending, ...prepared]) {
      file.close()
      await rm(file.path)
    }
    return seconds
  }

  #bareFiles({ groups, bytes, writes, turns }: Workload, space: Space): BareFile[] {
    const bytesMax = bytes * writes * (turns + 1)
    const folder = join(this.#dir, 'bare')
    return Array.from({ length: groups }, () => new BareFile(join(folder, String(++this.#made)), space, bytesMax))
  }
}

/** Every group has writes under way at any moment. Sealing the frames is not measured, as making the bytes is not below. */
function storeTurn(logs: readonly GroupLog[], { bytes, window, writes }: Workload): Measure {
  const payload = new Uint8Array(bytes).fill(7)
  return async () => {
    const work = logs.map(log => ({ log, frames: sealFrames(log, writes, payload) }))
    const seconds = await secondsOf(() => Promise.all(work.map(({ log, frames }) => appendEach(log, frames, window))))
    return seconds / (logs.length * writes)
  }
}

function bareTurn(files: readonly BareFile[], { bytes, writes }: Workload): Measure {
  const slots = Math.min(SLOTS, files.length)
  return async () => {
    // Other bytes for each write, as a log has: the same ones again would come from the processor's cache.
    const payloads = Array.from({ length: files.length * writes }, () => new Uint8Array(bytes).fill(7))
    return (await secondsOf(() => appendInTurn(files, payloads, slots))) / payloads.length
  }
}
