/**
 * `pnpm chaos:disk [--seeds N]`: what the log promises, under crashes at every operation of a simulated disk (N seeds on
 * each of two threads), with defects planted on purpose, and on real disks that fill up, fail, stall and lose power.
 * Lists what this machine does not allow, and ends with `N passed, N failed`.
 */
import { parseArgs } from 'node:util'
import { explorationPart } from './exploration.ts'
import { FDATASYNC_PARTS } from './failing-fdatasync.ts'
import { ROUND_PARTS } from './failing-round.ts'
import { FULL_DISK_PARTS } from './full-disk.ts'
import { DEFECT_PARTS } from './planted-defects.ts'
import { POWER_LOSS_PARTS } from './power-loss.ts'
import { runParts } from './verdict.ts'

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '4' } } })
const seeds = Number(values.seeds)
if (!Number.isSafeInteger(seeds) || seeds < 1) throw new RangeError(`--seeds ${values.seeds}: a number ≥ 1 is needed`)

const onRealDisks = [...FULL_DISK_PARTS, ...ROUND_PARTS, ...FDATASYNC_PARTS, ...POWER_LOSS_PARTS]
const verdicts = await runParts([explorationPart(seeds), ...DEFECT_PARTS, ...onRealDisks])
const count = (kind: string): number => verdicts.filter(verdict => verdict.kind === kind).length
if (count('notRun') > 0) process.stdout.write(`${count('notRun')} not run: see above\n`)
process.stdout.write(`${count('passed')} passed, ${count('failed')} failed\n`)
process.exitCode = count('failed') === 0 ? 0 : 1
