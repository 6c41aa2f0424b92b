/**
 * What the hot path does for each record, in counts that are the same on every machine: copies, promises, messages and system
 * calls of the leader, of one follower and of the client. Two windows: counters inside of the processes, then strace.
 */
import { describeFaults } from '@millrace/cli/bench'
import { countTable, type ProcessCounts, placeTables } from './profile/count-tables.ts'
import type { Counts } from './profile/counters.ts'
import { benchHotPath, type Chosen, type HotPath, type Watch, type Watched } from './profile/hot-path.ts'
import { countOptions, type HotPathOptions } from './profile/options.ts'
import { SystemCallCount, type SystemCalls, whyNoSystemCalls } from './profile/system-calls.ts'
import { grouped } from './statistics.ts'

/** `pnpm bench counts W1 [--only TEXT] [--seconds 5] [--rows 8] [--dir FOLDER]` */
export async function benchCounts(args: readonly string[]): Promise<void> {
  await benchHotPath('counts', () => countOptions(args), count)
}

async function count(hotPath: HotPath, { rows }: HotPathOptions, chosen: readonly Chosen[]): Promise<void> {
  const whyNot = whyNoSystemCalls()
  process.stdout.write(`${hotPath.version}, Node ${process.version}\n`)
  if (whyNot !== undefined) process.stdout.write(`system calls: not run, ${whyNot}\n`)
  for (const one of chosen) {
    const inside = new InsideWatch(hotPath)
    const { measured } = await hotPath.carryOut(one, inside)
    const outside = new SystemCallWatch()
    const traced = whyNot === undefined ? (await hotPath.carryOut(one, outside)).measured : undefined
    if (outside.whyNot !== undefined) process.stdout.write(`system calls: not run, ${outside.whyNot}\n`)
    const processes = inside.watched.map(
      ({ role, name }): ProcessCounts => ({
        role,
        counts: inside.counts.get(name)!,
        systemCalls: outside.counts.get(name),
      }),
    )
    const { records, recordBytes, faults } = measured
    const counted = { records, recordBytes, callRecords: callRecordsOf(one) }
    const head = `${grouped(records)} records counted, ${counted.callRecords} per call; check ${describeFaults(faults)}`
    const lines = [
      `\n# ${one.title}: ${one.entry.way}`,
      head,
      ...countTable(processes, counted, traced?.records ?? 0),
      ...placeTables(processes, counted, traced?.records ?? 0, rows),
    ]
    process.stdout.write(`${lines.join('\n')}\n`)
  }
}

/** As the names of the ways say: `appendMany, 500`. */
function callRecordsOf({ entry }: Chosen): number {
  return Number(/\d+$/.exec(entry.way)?.[0] ?? 1)
}

class InsideWatch implements Watch {
  watched: readonly Watched[] = []
  readonly counts = new Map<Watched['name'], Counts>()
  readonly #hotPath: HotPath

  constructor(hotPath: HotPath) {
    this.#hotPath = hotPath
  }

  async begin(watched: readonly Watched[]): Promise<void> {
    this.watched = watched
    await Promise.all(watched.map(({ pid }) => this.#hotPath.probes.ask(pid, { type: 'count' })))
  }

  async end(watched: readonly Watched[]): Promise<void> {
    const ask = async ({ name, pid }: Watched): Promise<void> => {
      this.counts.set(name, (await this.#hotPath.probes.ask(pid, { type: 'counted' }))!)
    }
    await Promise.all(watched.map(ask))
  }
}

class SystemCallWatch implements Watch {
  /** Where the system does not let one process count the calls of another. */
  whyNot: string | undefined
  readonly counts = new Map<Watched['name'], SystemCalls>()
  readonly #traces = new Map<Watched['name'], SystemCallCount>()

  async begin(watched: readonly Watched[]): Promise<void> {
    try {
      for (const { name, pid } of watched) this.#traces.set(name, await SystemCallCount.start(pid))
    } catch (error) {
      this.whyNot = (error as Error).message
    }
  }

  async end(): Promise<void> {
    for (const [name, trace] of this.#traces) this.counts.set(name, await trace.end())
  }
}
