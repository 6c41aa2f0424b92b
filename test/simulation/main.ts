/**
 * `pnpm sim [--seeds N] [--from S]`: runs seeds S … S + N − 1, each twice, and counts what occurred; ends with
 * `N passed, N failed`. Every second seed runs a second time in the host of a node; `--hosted` and `--unhosted` run all in
 * one of the two. From 100 seeds on, a fault, operation or transition that never occurred is a failure too.
 * `pnpm sim --seed S [--without NAME,NAME] [--safety-ms N] [--trace]` runs one schedule and shows what happens.
 */
import { parseArgs } from 'node:util'
import {
  type CoverageName,
  FAULTS,
  neverOccurred,
  OPERATIONS,
  type Schedule,
  simulate,
  withoutAmbience,
} from '../../packages/testkit/src/simulation/index.ts'
import { coverageText, failureText } from './report.ts'
import { SeedPool } from './seed-pool.ts'
import type { SeedReport } from './seed-worker.ts'
import { CHECKOUT } from './sources.ts'

/** How many failures are made smaller and shown with their events; a broken core would fill the screen. */
const SHOWN_MAX = 3
/** From this many seeds on everything must have occurred. */
const COVERAGE_SEEDS = 100
const PROGRESS_MS = 10_000

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    without: { type: 'string', default: '' },
    'safety-ms': { type: 'string' },
    hosted: { type: 'boolean', default: false },
    unhosted: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
})

function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`--${name} ${text}: a whole number ≥ 0 is needed`)
  return value
}

function namesOf(text: string): Schedule['without'] {
  const known: readonly CoverageName[] = [...FAULTS, ...OPERATIONS]
  return text
    .split(',')
    .filter(name => name !== '')
    .map(name => {
      const found = [...FAULTS, ...OPERATIONS].find(other => other === name)
      if (found === undefined) throw new RangeError(`--without ${name}: there are ${known.join(', ')}`)
      return found
    })
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Runs one schedule in this very thread. */
async function replay(seed: number): Promise<boolean> {
  const safetyMs = values['safety-ms']
  const schedule: Schedule = {
    seed,
    without: namesOf(values.without),
    ...(values.hosted && { hosted: true }),
    ...(safetyMs !== undefined && { safetyMs: numberOf('safety-ms', safetyMs) }),
  }
  const result = await withoutAmbience(() => simulate(schedule, values.trace ? print : undefined))
  print(
    `${result.events} events, ${result.committed} committed, ${result.acknowledged} acknowledged, hash ${result.hash}`,
  )
  if (result.failure !== undefined) print(result.failure.message)
  const failed = result.failure === undefined ? 0 : 1
  print(`${1 - failed} passed, ${failed} failed`)
  return failed === 0
}

/** The counts of a run of many seeds. */
class Tally {
  passed = 0
  failed = 0
  events = 0
  committed = 0
  settledAfterMost = 0
  /** Election timeouts until each seed served again. */
  readonly served: number[] = []
  readonly counts: Record<string, number> = {}
  readonly #startedMs = performance.now()

  add({ result, secondHash, smallest }: SeedReport): void {
    this.events += result.events * 2
    this.committed += result.committed
    this.settledAfterMost = Math.max(this.settledAfterMost, result.settledAfter)
    this.served.push(result.servedAfter)
    for (const [name, count] of Object.entries(result.coverage)) this.counts[name] = (this.counts[name] ?? 0) + count
    const same = result.hash === secondHash
    if (!same) print(`seed ${result.schedule.seed} FAILED: two runs differ, hashes ${result.hash} and ${secondHash}`)
    if (result.failure !== undefined) {
      print(
        this.failed < SHOWN_MAX
          ? failureText(result, smallest)
          : `seed ${result.schedule.seed} FAILED: ${result.failure.invariant}`,
      )
    }
    if (same && result.failure === undefined) this.passed++
    else this.failed++
  }

  servedText(): string {
    const sorted = this.served.toSorted((a, b) => a - b)
    return [0.5, 0.9, 1].map(share => (sorted[Math.ceil(share * sorted.length) - 1] ?? 0).toFixed(1)).join(', ')
  }

  summary(): string {
    const seconds = (performance.now() - this.#startedMs) / 1000
    const perSecond = Math.round(this.events / seconds).toLocaleString('en')
    const seeds = ((this.passed + this.failed) / seconds).toFixed(1)
    return `${perSecond} events/s, ${seeds} seeds/s (each run twice), ${this.committed} entries committed, ${seconds.toFixed(0)} s`
  }
}

function schedulesOf(from: number, count: number): Schedule[] {
  const seeds = Array.from({ length: count }, (_, i) => from + i)
  const own = values.hosted ? [] : seeds.map(seed => ({ seed, without: [] }))
  const hosted = values.unhosted ? [] : seeds.filter(seed => values.hosted || seed % 2 === 0)
  return [...own, ...hosted.map(seed => ({ seed, without: [], hosted: true }))].sort((a, b) => a.seed - b.seed)
}

async function runMany(from: number, count: number): Promise<boolean> {
  const tally = new Tally()
  const pool = new SeedPool(CHECKOUT)
  const schedules = schedulesOf(from, count)
  let saidMs = performance.now()
  await pool.run(
    () => {
      const schedule = schedules.shift()
      return schedule && { schedule, twice: true, shrink: tally.failed < SHOWN_MAX }
    },
    report => {
      tally.add(report)
      if (performance.now() - saidMs > PROGRESS_MS) {
        saidMs = performance.now()
        print(`${tally.passed + tally.failed} runs of ${count} seeds, ${tally.failed} failed, ${tally.summary()}`)
      }
      return true
    },
  )
  await pool.close()
  print(coverageText(tally.counts))
  print(`served again after ${tally.servedText()} election timeouts (half of the seeds, 9 in 10, all)`)
  print(`settled within ${tally.settledAfterMost} election timeouts after the last fault; ${tally.summary()}`)
  const missing = count >= COVERAGE_SEEDS && !values.hosted ? neverOccurred(tally.counts) : []
  for (const name of missing) print(`NEVER OCCURRED: ${name}`)
  print(`${tally.passed} passed, ${tally.failed + missing.length} failed`)
  return tally.failed + missing.length === 0
}

const ok =
  values.seed === undefined
    ? await runMany(numberOf('from', values.from), numberOf('seeds', values.seeds))
    : await replay(numberOf('seed', values.seed))
process.exitCode = ok ? 0 : 1
