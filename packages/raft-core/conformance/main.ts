/**
 * Runs the scripted tests of etcd-io/raft against the core. They were written elsewhere, and are not part of this project.
 *
 *     pnpm conformance:raft [DIRECTORY]
 *
 * Exits with 0 only when every file has passed, and at least one was found.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { configChangeScript } from './config-change.ts'
import { type Directive, parseFile } from './data-driven.ts'
import { interactionScript } from './interaction/commands.ts'
import { runQuorum } from './quorum.ts'

const DEFAULT_DIRECTORY = '../shared/conformance/etcd-raft'

interface FileResult {
  readonly passed: boolean
  readonly directives: number
  readonly difference?: string
}

function main(given: string | undefined): number {
  const directory = resolve(given ?? DEFAULT_DIRECTORY)
  if (!existsSync(directory)) {
    print(`NOT RUN: there is no directory ${directory}. Give the directory of the etcd-io/raft test data as argument.`)
    return 2
  }
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.txt'))
    .sort()
  if (files.length === 0) {
    print(`NOT RUN: ${directory} holds no test data (*.txt)`)
    return 2
  }
  let passed = 0
  let directives = 0
  for (const name of files) {
    const file = join(directory, name)
    const result = runFile(file)
    directives += result.directives
    if (result.passed) passed++
    print(`${result.passed ? 'pass' : 'FAIL'}  ${relative(directory, file)}  ${result.directives} directives`)
    if (result.difference !== undefined) print(result.difference)
  }
  print(`${directives} directives in ${files.length} files`)
  print(`${passed} passed, ${files.length - passed} failed`)
  return passed === files.length ? 0 : 1
}

/** Stops at the first difference: what follows it says nothing. */
function runFile(file: string): FileResult {
  let count = 0
  try {
    const directives = parseFile(readFileSync(file, 'utf8'))
    const run = scriptFor(basename(dirname(file)), directives)
    for (const directive of directives) {
      const expected = withoutLogLines(directive.expected)
      const actual = withoutLogLines(run(directive))
      if (actual !== expected) {
        return { passed: false, directives: count, difference: difference(directive, expected, actual) }
      }
      count++
    }
    return { passed: true, directives: count }
  } catch (error) {
    return { passed: false, directives: count, difference: `    ${(error as Error).stack}` }
  }
}

/** By the name of the folder; where that says nothing, by the first command. */
function scriptFor(folder: string, directives: readonly Directive[]): (directive: Directive) => string {
  const command = directives[0]?.command ?? ''
  if (folder === 'quorum' || command === 'committed' || command === 'vote') return runQuorum
  if (folder === 'confchange' || ['simple', 'enter-joint', 'leave-joint'].includes(command)) return configChangeScript()
  return interactionScript()
}

const LOG_LINE = /^\s*(DEBUG|INFO|WARN|ERROR) /

/** Log lines are worded by each implementation as it likes. */
function withoutLogLines(text: string): string {
  const lines = text.split('\n').filter(line => !LOG_LINE.test(line))
  const kept = lines.join('\n').trimEnd()
  return kept === '' ? 'ok' : kept
}

function difference(directive: Directive, expected: string, actual: string): string {
  const want = expected.split('\n')
  const got = actual.split('\n')
  const at = want.findIndex((line, i) => line !== got[i])
  const shown = at < 0 ? want.length : at
  return [
    `    line ${directive.line}: ${directive.command} differs in line ${shown + 1} of its output`,
    ...want.slice(Math.max(0, shown - 3), shown).map(line => `      ${line}`),
    ...want.slice(shown, shown + 5).map(line => `    - ${line}`),
    ...got.slice(shown, shown + 5).map(line => `    + ${line}`),
  ].join('\n')
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = main(process.argv[2])
