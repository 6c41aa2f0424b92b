/** The command line of `pnpm bench soak`. */
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

export interface SoakOptions {
  readonly durationMs: number
  /** Of which the table has a row each. */
  readonly periodMs: number
  /** For the data of the nodes; a folder in it is made and removed. */
  readonly dir: string
}

const MINUTE_MS = 60_000
const MINUTES = '5'
const QUICK = { durationMs: 20_000, periodMs: 5_000 }

/** @throws RangeError or TypeError that says what is wrong */
export function soakOptions(args: readonly string[]): SoakOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string' },
      quick: { type: 'boolean', default: false },
      dir: { type: 'string', default: tmpdir() },
    },
  })
  const dir = resolve(values.dir)
  if (values.quick && values.minutes === undefined) return { ...QUICK, dir }
  if (values.quick) throw new RangeError('--quick takes 20 seconds, and no --minutes')
  const text = values.minutes ?? MINUTES
  const minutes = Number(text)
  if (!Number.isSafeInteger(minutes) || minutes < 1)
    throw new RangeError(`--minutes: "${text}" is no whole number from 1 on`)
  return { durationMs: minutes * MINUTE_MS, periodMs: MINUTE_MS, dir }
}
