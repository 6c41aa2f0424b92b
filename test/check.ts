/**
 * `pnpm check`: what can be said about the sources without running them. Each step runs even if one before it failed;
 * the exit code is 1 if any did. `--json FILE` also writes the counts for test/run.ts.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brokenArrows } from './arrows.ts'
import { defectMisfits } from './chaos/planted-defects.ts'
import { misfitsOf } from './simulation/mutant-copy.ts'
import { MUTANTS } from './simulation/mutants/all.ts'

interface Step {
  readonly name: string
  /** Runs the step; the text says what is wrong, undefined that all is well, and "not run: why" that it can't be told. */
  run(): string | undefined
}

function command(name: string, args: readonly string[]): Step {
  return {
    name: [name, ...args].join(' '),
    run() {
      const result = spawnSync(name, args, { encoding: 'utf8', maxBuffer: 64 << 20 })
      if (result.error) return `${name}: ${result.error.message}`
      return result.status === 0 ? undefined : `${result.stdout}${result.stderr}`
    },
  }
}

/** The committed code must be what `pnpm generate` makes of proto/. */
const generatedCodeIsCurrent: Step = {
  name: 'generated code is current',
  run() {
    const out = mkdtempSync(join(tmpdir(), 'millrace-generated-'))
    try {
      const generate = spawnSync('buf', ['generate', '--output', out], { encoding: 'utf8' })
      if (generate.status !== 0) return generate.stderr
      const target = 'packages/proto/src/gen'
      const diff = spawnSync('diff', ['-r', join(out, target), target], { encoding: 'utf8' })
      return diff.status === 0 ? undefined : `run \`pnpm generate\` and commit:\n${diff.stdout}${diff.stderr}`
    } finally {
      rmSync(out, { recursive: true })
    }
  },
}

/** The protocol may not break what a released version speaks. */
const protocolIsCompatible: Step = {
  name: 'buf breaking against the last release',
  run() {
    const tag = spawnSync('git', ['describe', '--tags', '--abbrev=0', '--match', 'v*'], { encoding: 'utf8' })
    if (tag.status !== 0) return 'not run: no release tag yet'
    return command('buf', ['breaking', '--against', `.git#tag=${tag.stdout.trim()}`]).run()
  },
}

/** Words that promise or hide something have no place in sources. */
const nothingIsPostponed: Step = {
  name: 'no postponed work, no skipped test',
  run() {
    const pattern = String.raw`\b(TODO|FIXME|XXX)\b|@ts-(ignore|nocheck)|\b(it|test|describe)\.(only|skip|todo)\b`
    const files = ['packages/*/src', 'packages/*/test', 'test', 'bench', 'examples', 'docs']
    const result = spawnSync('git', ['grep', '-nE', pattern, '--', ...files, ':!test/check.ts'], { encoding: 'utf8' })
    return result.status === 1 ? undefined : result.stdout || result.stderr
  },
}

/** CONTRIBUTING.md promises files that can be read at one sitting. */
const filesAreShort: Step = {
  name: 'no source file over 400 lines',
  run() {
    const listed = spawnSync('git', ['ls-files', 'packages/*/src/*.ts', 'bench/*.ts', 'test/*.ts'], {
      encoding: 'utf8',
    })
    const long = listed.stdout
      .split('\n')
      .filter(file => file !== '' && !file.includes('/gen/') && !file.endsWith('.test.ts'))
      .map(file => ({ file, lines: readFileSync(file, 'utf8').split('\n').length - 1 }))
      .filter(({ lines }) => lines > 400)
    return long.length === 0 ? undefined : long.map(({ file, lines }) => `${lines} ${file}`).join('\n')
  },
}

const packageArrows: Step = {
  name: 'package arrows go down only',
  run() {
    const broken = brokenArrows()
    return broken.length === 0 ? undefined : broken.join('\n')
  },
}

/** A defect that can no longer be planted is found by nobody; only some of them are looked for every day. */
const mutantsFit: Step = {
  name: 'every mutant and every planted defect has its place',
  run() {
    const ofMutants = MUTANTS.flatMap(mutant => misfitsOf(mutant).map(misfit => `${mutant.name}: ${misfit}`))
    const misfits = [...ofMutants, ...defectMisfits()]
    return misfits.length === 0 ? undefined : misfits.join('\n')
  },
}

const STEPS: readonly Step[] = [
  command('tsc', ['-b']),
  command('tsc', ['-p', 'test/tsconfig.json']),
  command('tsc', ['-p', 'packages/raft-core/conformance/tsconfig.json']),
  command('biome', ['ci', '--colors=off', '--error-on-warnings', '.']),
  packageArrows,
  command('buf', ['lint']),
  protocolIsCompatible,
  generatedCodeIsCurrent,
  command('knip', []),
  nothingIsPostponed,
  filesAreShort,
  mutantsFit,
]

function main(): void {
  const counts = { passed: 0, failed: 0, notRun: [] as string[] }
  for (const step of STEPS) {
    const started = performance.now()
    const trouble = step.run()
    const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`
    if (trouble === undefined) counts.passed++
    else if (trouble.startsWith('not run')) counts.notRun.push(`${step.name}: ${trouble}`)
    else counts.failed++
    const verdict = trouble === undefined ? 'ok' : trouble.startsWith('not run') ? trouble : `FAILED\n${trouble}`
    process.stdout.write(`${step.name} (${seconds}): ${verdict}\n`)
  }
  const json = process.argv.indexOf('--json')
  const file = json === -1 ? undefined : process.argv[json + 1]
  if (file !== undefined) writeFileSync(file, JSON.stringify(counts))
  process.exitCode = counts.failed === 0 ? 0 : 1
}

main()
