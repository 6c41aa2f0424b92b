/** The command line of `pnpm bench profile`. */
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { WorkloadName } from '../peers/options.ts'

const PROFILED: readonly WorkloadName[] = ['W1', 'W2', 'W3']

export interface ProfileOptions {
  readonly workload: WorkloadName
  /** Only what has this in its title or in the name of the client's way. */
  readonly only: string
  readonly durationMs: number
  readonly intervalUs: number
  /** Rows of each table. */
  readonly rows: number
  /** Folder for the profiles; made where it is not there. Absent: a new one among the temporary files. */
  readonly out: string | undefined
  /** For the data of the nodes, on the disk that is to be measured; a folder in it is made and removed. */
  readonly dir: string
}

/** @throws RangeError or TypeError that says what is wrong and what there is */
export function profileOptions(args: readonly string[]): ProfileOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      only: { type: 'string', default: '' },
      seconds: { type: 'string', default: '5' },
      'interval-us': { type: 'string', default: '500' },
      rows: { type: 'string', default: '25' },
      out: { type: 'string' },
      dir: { type: 'string', default: tmpdir() },
    },
  })
  const workload = PROFILED.find(name => name === positionals[0])
  if (workload === undefined || positionals.length > 1)
    throw new RangeError(`name one workload of ${PROFILED.join(', ')}, not "${positionals.join(' ')}"`)
  return {
    workload,
    only: values.only,
    durationMs: from(1, '--seconds', values.seconds) * 1_000,
    intervalUs: from(50, '--interval-us', values['interval-us']),
    rows: from(1, '--rows', values.rows),
    out: values.out === undefined ? undefined : resolve(values.out),
    dir: resolve(values.dir),
  }
}

function from(least: number, option: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least)
    throw new RangeError(`${option}: "${text}" is no whole number from ${least} on`)
  return value
}
