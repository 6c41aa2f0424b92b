/**
 * `pnpm sim:mutants [NAME…] [--rotate N]`: plants one defect after the other in a copy of the sources and runs seeds until
 * it is found. A defect that stays unseen, or a patch that no longer applies, is a failure. `--rotate N` takes N of them,
 * others every day, of those that few seeds find. Ends with `N passed, N failed`.
 */
import { parseArgs } from 'node:util'
import { MutantCopy } from './mutant-copy.ts'
import { MUTANTS } from './mutants/all.ts'
import { type Mutant, SEEDS } from './mutants/mutant.ts'
import { SeedPool } from './seed-pool.ts'
import { CHECKOUT, load, type Sources } from './sources.ts'

const DAY_MS = 86_400_000

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

interface Find {
  readonly seed: number
  /** How many seeds it took. */
  readonly seeds: number
  readonly invariant: string
}

/** @returns undefined when all seeds pass */
async function hunt(sources: Sources, seeds: number, hosted: boolean): Promise<Find | undefined> {
  const pool = new SeedPool(sources)
  let next = 1
  let ran = 0
  let found: Find | undefined
  try {
    await pool.run(
      () =>
        next <= seeds ? { schedule: { seed: next++, without: [], hosted }, twice: false, shrink: false } : undefined,
      ({ result: { failure, schedule } }) => {
        ran++
        if (failure !== undefined) found ??= { seed: schedule.seed, seeds: ran, invariant: failure.invariant }
        return found === undefined
      },
    )
  } finally {
    await pool.close()
  }
  return found
}

/** A seed that fails without any defect planted proves nothing about the defect. */
async function failsAnyway(seed: number, hosted: boolean): Promise<boolean> {
  const simulation = await load(CHECKOUT)
  return (await simulation.simulate({ seed, without: [], hosted })).failure !== undefined
}

/** Plants a defect and looks for it; says what came of it. */
async function run(mutant: Mutant): Promise<boolean> {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  let copy: MutantCopy
  try {
    copy = new MutantCopy(mutant)
  } catch (error) {
    print(`FAILED  ${mutant.name}: ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
  try {
    const seeds = mutant.seeds ?? SEEDS
    const { hosted = false } = mutant
    const found = await hunt(copy.sources, seeds, hosted)
    if (found === undefined) print(`FAILED  ${mutant.name} (${mutant.says}): not found in ${seeds} seeds, ${seconds()}`)
    else if (await failsAnyway(found.seed, hosted)) {
      print(`FAILED  ${mutant.name}: seed ${found.seed} fails without it too; \`pnpm sim\` first`)
      return false
    } else print(`found   ${mutant.name}: after ${found.seeds} seeds, "${found.invariant}", ${seconds()}`)
    return found !== undefined
  } finally {
    copy.remove()
  }
}

function chosen(names: readonly string[], rotate: string | undefined): readonly Mutant[] {
  const unknown = names.filter(name => !MUTANTS.some(mutant => mutant.name === name))
  if (unknown.length > 0) {
    throw new RangeError(`no mutant ${unknown.join(', ')}; there are: ${MUTANTS.map(({ name }) => name).join(', ')}`)
  }
  if (names.length > 0) return MUTANTS.filter(({ name }) => names.includes(name))
  if (rotate === undefined) return MUTANTS
  const common = MUTANTS.filter(({ seeds = SEEDS }) => seeds <= SEEDS)
  const count = Math.min(Number(rotate), common.length)
  if (!Number.isSafeInteger(count) || count < 1) throw new RangeError(`--rotate ${rotate}: a number ≥ 1 is needed`)
  const first = Math.floor(Date.now() / DAY_MS) * count
  return Array.from({ length: count }, (_, i) => common[(first + i) % common.length] as Mutant)
}

const { values, positionals } = parseArgs({ options: { rotate: { type: 'string' } }, allowPositionals: true })
let passed = 0
let failed = 0
for (const mutant of chosen(positionals, values.rotate)) {
  if (await run(mutant)) passed++
  else failed++
}
print(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
