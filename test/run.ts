/**
 * `pnpm test [SUITE…]`: runs every suite in turn, each as a process of its own, prints the seconds of each and, last,
 * `N passed, N failed`. A suite that dies without a report counts as one failure. What the machine does not allow is
 * listed as not run, by name.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly notRun: readonly string[]
}

interface Suite {
  readonly name: string
  /** A folder of data that the suite needs and a lone checkout may not have. */
  readonly needs?: string
  /** The command; `report` is a file that it may write its counts to. */
  command(report: string): readonly string[]
  outcome(report: string, exitCode: number, output: string): Outcome
}

/** A program whose exit code is the whole verdict. */
function program(name: string, args: readonly string[]): Suite {
  return {
    name,
    command: () => [process.execPath, '--conditions=millrace-source', ...args],
    outcome: (_report, exitCode) => ({ passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, notRun: [] }),
  }
}

/** A program that ends with `N passed, N failed`. */
function counted(name: string, args: readonly string[]): Suite {
  return {
    ...program(name, args),
    outcome(_report, exitCode, output) {
      const counts = /(\d+) passed, (\d+) failed\s*$/.exec(output)
      if (counts === null) return { passed: 0, failed: 1, notRun: [] }
      const failed = Number(counts[2])
      return { passed: Number(counts[1]), failed: exitCode !== 0 && failed === 0 ? 1 : failed, notRun: [] }
    },
  }
}

interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numFailedTestSuites: number
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

function vitest(name: string, args: readonly string[]): Suite {
  return {
    name,
    command: report => [
      'vitest',
      'run',
      ...args,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ],
    outcome(report, exitCode) {
      if (!existsSync(report)) return { passed: 0, failed: 1, notRun: [] }
      const counts = JSON.parse(readFileSync(report, 'utf8')) as VitestReport
      const tests = counts.testResults.flatMap(file => file.assertionResults)
      const notRun = tests.filter(test => test.status !== 'passed' && test.status !== 'failed')
      // A file that does not load fails as a suite without a failed test; an unhandled error only by the exit code.
      const failed = Math.max(counts.numFailedTests, Math.min(counts.numFailedTestSuites, 1), exitCode === 0 ? 0 : 1)
      return { passed: counts.numPassedTests, failed, notRun: notRun.map(test => test.fullName) }
    },
  }
}

const check: Suite = {
  name: 'check',
  command: report => [process.execPath, 'test/check.ts', '--json', report],
  outcome: report =>
    existsSync(report) ? (JSON.parse(readFileSync(report, 'utf8')) as Outcome) : { passed: 0, failed: 1, notRun: [] },
}

/** Test data that others wrote; it lives outside of the checkout. */
const CONFORMANCE = process.env.CONFORMANCE_DATA ?? '../shared/conformance/etcd-raft'

const SUITES: readonly Suite[] = [
  check,
  vitest('unit', ['--project', 'unit']),
  { ...counted('conformance', ['packages/raft-core/conformance/main.ts', CONFORMANCE]), needs: CONFORMANCE },
  counted('simulation', ['test/simulation/main.ts', '--seeds', '20']),
  // Others every day; all of them: pnpm sim:mutants.
  counted('mutants', ['test/simulation/mutants.ts', '--rotate', '5']),
  vitest('end-to-end', ['--project', 'end-to-end']),
  program('tour', ['packages/cli/src/main.ts', 'tour', '--input', process.env.TOUR_INPUT ?? 'pnpm-lock.yaml']),
]

async function runSuite(suite: Suite, folder: string): Promise<Outcome & { readonly seconds: number }> {
  process.stdout.write(`\n── ${suite.name} ${'─'.repeat(60 - suite.name.length)}\n`)
  if (suite.needs !== undefined && !existsSync(suite.needs))
    return { passed: 0, failed: 0, notRun: [`${suite.name}: ${suite.needs} is not there`], seconds: 0 }
  const report = join(folder, `${suite.name}.json`)
  const [file, ...args] = suite.command(report)
  const started = performance.now()
  // Nodes and commands are started by the hundred: what they load is compiled once.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, 'compile-cache') }
  const { exitCode, output } = await run(file ?? '', args, env)
  return { ...suite.outcome(report, exitCode, output), seconds: (performance.now() - started) / 1000 }
}

/** Runs a command with its output shown; keeps the end of it for the verdict. */
function run(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ exitCode: number; output: string }> {
  return new Promise(resolve => {
    let output = ''
    const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const show = (target: NodeJS.WriteStream) => (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-10_000)
      target.write(chunk)
    }
    child.stdout.on('data', show(process.stdout))
    child.stderr.on('data', show(process.stderr))
    child.on('error', error => resolve({ exitCode: 1, output: error.message }))
    child.on('close', (code, signal) => resolve({ exitCode: signal === null ? (code ?? 1) : 1, output }))
  })
}

async function main(): Promise<void> {
  const wanted = process.argv.slice(2)
  const unknown = wanted.filter(name => !SUITES.some(suite => suite.name === name))
  if (unknown.length > 0) {
    process.stderr.write(`no suite ${unknown.join(', ')}; there are: ${SUITES.map(suite => suite.name).join(', ')}\n`)
    process.exitCode = 2
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'millrace-test-'))
  const lines: string[] = []
  let passed = 0
  let failed = 0
  for (const suite of SUITES.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const outcome = await runSuite(suite, folder)
    passed += outcome.passed
    failed += outcome.failed
    lines.push(`${suite.name}: ${outcome.passed} passed, ${outcome.failed} failed in ${outcome.seconds.toFixed(1)} s`)
    for (const name of outcome.notRun) lines.push(`  not run: ${name}`)
  }
  rmSync(folder, { recursive: true })
  process.stdout.write(`\n${lines.join('\n')}\n${passed} passed, ${failed} failed\n`)
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1
}

await main()
