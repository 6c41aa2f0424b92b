/**
 * Where the time of the hot path goes: CPU profiles of the leader, of one follower and of the client while a workload is
 * measured. Profiling slows all of them: shares count, rates do not.
 */
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeFaults } from '@millrace/cli/bench'
import { cpuOfThreads, type ThreadCpu } from './peers/process-figures.ts'
import { benchHotPath, type Carried, type Chosen, type HotPath, type Watch, type Watched } from './profile/hot-path.ts'
import { type ProfileOptions, profileOptions } from './profile/options.ts'
import { type CpuProfile, selfTimes } from './profile/self-times.ts'
import { busyText, functionTable, packageTable, threadsText } from './profile/tables.ts'
import { grouped } from './statistics.ts'

/** As Node names it. */
const MAIN_THREAD = 'MainThread'

type Threads = ReadonlyMap<string, ThreadCpu>

/** `pnpm bench profile W1 [--only TEXT] [--seconds 5] [--interval-us 500] [--rows 25] [--out DIR] [--dir FOLDER]` */
export async function benchProfile(args: readonly string[]): Promise<void> {
  await benchHotPath('profile', () => profileOptions(args), profile)
}

async function profile(hotPath: HotPath, options: ProfileOptions, chosen: readonly Chosen[]): Promise<void> {
  const out = options.out ?? mkdtempSync(join(tmpdir(), 'millrace-profiles-'))
  mkdirSync(out, { recursive: true })
  process.stdout.write(`${hotPath.version}, Node ${process.version}; profiles in ${out}\n`)
  for (const one of chosen) {
    const watch = new ProfileWatch(hotPath, options, join(out, stemOf(one)))
    const carried = await hotPath.carryOut(one, watch)
    process.stdout.write(`${[...headLines(one, carried), ...watch.lines(carried)].join('\n')}\n`)
  }
}

function stemOf({ title, entry }: Chosen): string {
  return `${title} ${entry.way}`
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/-$/, '')
}

class ProfileWatch implements Watch {
  readonly #hotPath: HotPath
  readonly #options: ProfileOptions
  readonly #stem: string
  #watched: readonly Watched[] = []
  readonly #before = new Map<Watched, Threads>()
  readonly #used = new Map<Watched, Threads>()

  constructor(hotPath: HotPath, options: ProfileOptions, stem: string) {
    this.#hotPath = hotPath
    this.#options = options
    this.#stem = stem
  }

  async begin(watched: readonly Watched[]): Promise<void> {
    this.#watched = watched
    const { intervalUs } = this.#options
    await Promise.all(watched.map(({ pid }) => this.#hotPath.probes.ask(pid, { type: 'start', intervalUs })))
    for (const one of watched) this.#before.set(one, cpuOfThreads(one.pid))
  }

  async end(watched: readonly Watched[]): Promise<void> {
    for (const one of watched) this.#used.set(one, difference(cpuOfThreads(one.pid), this.#before.get(one)!))
    const stop = (one: Watched): Promise<unknown> =>
      this.#hotPath.probes.ask(one.pid, { type: 'stop', file: this.#fileOf(one) })
    await Promise.all(watched.map(stop))
  }

  lines({ measured, ms }: Carried): string[] {
    return this.#watched.flatMap(one => {
      const file = this.#fileOf(one)
      const used = this.#used.get(one)!
      const times = selfTimes(JSON.parse(readFileSync(file, 'utf8')) as CpuProfile)
      return [
        `\n## ${one.role}: ${file}`,
        `threads: ${threadsText(used, ms)}`,
        busyText(times, used.get(MAIN_THREAD)),
        '',
        ...packageTable(times, measured.records),
        '',
        ...functionTable(times, measured.records, this.#options.rows),
      ]
    })
  }

  #fileOf({ name }: Watched): string {
    return `${this.#stem}-${name}.cpuprofile`
  }
}

function headLines({ title, entry }: Chosen, { measured, ms }: Carried): string[] {
  const { records, recordBytes, faults } = measured
  const perSecond = records / (ms / 1_000)
  const rate = `${grouped(perSecond)} records/s, ${((perSecond * recordBytes) / 1e6).toFixed(1)} MB/s`
  const what = `${grouped(records)} records in ${(ms / 1_000).toFixed(2)} s while profiled`
  return [`\n# ${title}: ${entry.way}`, `${what}: ${rate}; check ${describeFaults(faults)}`]
}

function difference(now: Threads, before: Threads): Threads {
  return new Map(
    [...now].map(([name, { userMs, systemMs }]) => {
      const base = before.get(name) ?? { userMs: 0, systemMs: 0 }
      return [name, { userMs: userMs - base.userMs, systemMs: systemMs - base.systemMs }]
    }),
  )
}
