/**
 * The log on a real disk, in one run beside what the same disk does for a bare loop. Figures depend on the disk and on
 * who else uses it; the ratios are what to look at. Asserts nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { benchAppends } from './log-store/appends.ts'
import { benchGroupMemory, MEMORY_FLAG, measureMemory } from './log-store/group-memory.ts'
import { benchOpenings } from './log-store/openings.ts'
import { benchReads } from './log-store/reads.ts'

const DIVISOR_QUICK = 8

const PARTS = { appends: benchAppends, reads: benchReads, openings: benchOpenings, memory: benchGroupMemory }

/**
 * `pnpm bench log-store [appends] [reads] [openings] [memory] [--quick] [--dir FOLDER]`: the parts named, or all of them. Works in
 * a new folder below FOLDER, and removes it.
 */
export async function benchLogStore(args: readonly string[]): Promise<void> {
  const [flag, state, folder] = args
  if (flag === MEMORY_FLAG && state !== undefined && folder !== undefined) return measureMemory(state, folder)
  const isQuick = args.includes('--quick')
  const at = args.indexOf('--dir')
  const parent = at < 0 ? tmpdir() : (args[at + 1] ?? tmpdir())
  const dir = await mkdtemp(join(parent, 'millrace-bench-'))
  const plan = { dir, divisor: isQuick ? DIVISOR_QUICK : 1 }
  try {
    process.stdout.write(`in ${dir}; medians of turns A-B-C-A-B-C; ratios are log-store / bare\n`)
    const named = Object.entries(PARTS).filter(([name]) => args.includes(name))
    for (const [, run] of named.length > 0 ? named : Object.entries(PARTS)) await run(plan)
  } finally {
    await rm(dir, { recursive: true })
  }
}
