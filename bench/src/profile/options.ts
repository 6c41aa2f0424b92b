/** The command lines of the benchmarks of the hot path. */
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { WorkloadName } from '../peers/options.ts'

export interface HotPathOptions {
  readonly workload: WorkloadName
  /** Only what has this in its title or in the name of the client's way. */
  readonly only: string
  readonly durationMs: number
  /** For the data of the nodes, on the disk that is to be measured; a folder in it is made and removed. */
  readonly dir: string
  /** Of each table. */
  readonly rows: number
}

export interface ProfileOptions extends HotPathOptions {
  readonly intervalUs: number
  /** Folder for the profiles; made where it is not there. Absent: a new one among the temporary files. */
  readonly out: string | undefined
}

const PROFILED: readonly WorkloadName[] = ['W1', 'W2', 'W3', 'W5']
const COUNTED: readonly WorkloadName[] = ['W1', 'W2', 'W5']

const COMMON = {
  only: { type: 'string', default: '' },
  seconds: { type: 'string', default: '5' },
  dir: { type: 'string', default: tmpdir() },
} as const

/** @throws RangeError or TypeError that says what is wrong and what there is */
export function profileOptions(args: readonly string[]): ProfileOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...COMMON,
      'interval-us': { type: 'string', default: '500' },
      rows: { type: 'string', default: '25' },
      out: { type: 'string' },
    },
  })
  return {
    ...common(PROFILED, positionals, values),
    intervalUs: from(50, '--interval-us', values['interval-us']),
    out: values.out === undefined ? undefined : resolve(values.out),
  }
}

/** @throws RangeError or TypeError that says what is wrong and what there is */
export function countOptions(args: readonly string[]): HotPathOptions {
  const options = { ...COMMON, rows: { type: 'string', default: '8' } } as const
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options })
  return common(COUNTED, positionals, values)
}

function common(
  workloads: readonly WorkloadName[],
  positionals: readonly string[],
  values: { readonly only: string; readonly seconds: string; readonly dir: string; readonly rows: string },
): HotPathOptions {
  const workload = workloads.find(name => name === positionals[0])
  if (workload === undefined || positionals.length > 1)
    throw new RangeError(`name one workload of ${workloads.join(', ')}, not "${positionals.join(' ')}"`)
  return {
    workload,
    only: values.only,
    durationMs: from(1, '--seconds', values.seconds) * 1_000,
    dir: resolve(values.dir),
    rows: from(1, '--rows', values.rows),
  }
}

function from(least: number, option: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least)
    throw new RangeError(`${option}: "${text}" is no whole number from ${least} on`)
  return value
}
