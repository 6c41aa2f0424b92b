/**
 * The unmodified Node binary under strace: an fdatasync that fails ends the process, one that stalls stops nothing else.
 * Rounds need none (failing-round.ts): these are of votes, marks, base records and new segments.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { straceTrouble } from './machine.ts'
import { assertPromises } from './promises.ts'
import { failed, notRun, type Part, passed, type Verdict } from './verdict.ts'
import { NOTHING_ACKNOWLEDGED, WriterProcess } from './writer-process.ts'

const STALL_MS = 5_000
/** What is said where it was that of a base record comes from its replacement as a whole. */
const FATAL = /^fatal (?:fdatasync of .* failed|writing .*\/base failed \(EIO: .*fdatasync\))/
/** Which fdatasync fails: of a birth, a first segment, a vote, a roll, a mark. */
const FAILING: readonly number[] = [3, 7, 12, 29, 64, 151]

async function inFolder(run: (dir: string) => Promise<Verdict>): Promise<Verdict> {
  const trouble = straceTrouble()
  if (trouble !== null) return notRun(trouble)
  const folder = await mkdtemp(join(tmpdir(), 'millrace-chaos-'))
  try {
    return await run(join(folder, 'log'))
  } finally {
    await rm(folder, { recursive: true })
  }
}

const eio: Part = {
  name: `EIO from one fdatasync (${FAILING.join(', ')}th): the process says so and ends; nothing acknowledged is lost`,
  run: () =>
    inFolder(async dir => {
      let promised = NOTHING_ACKNOWLEDGED
      for (const when of FAILING) {
        const writer = new WriterProcess({ dir, before: promised, inject: `error=EIO:when=${when}` })
        try {
          await writer.ended()
        } finally {
          await writer.kill()
        }
        const last = writer.lines.at(-1) ?? ''
        if (!FATAL.test(last)) return failed(`the ${when}th: its last line is "${last}"`)
        promised = await assertPromises(dir, writer.acknowledged)
      }
      return passed(`${FAILING.length} processes ended, ${promised.index} entries kept`)
    }),
}

const stall: Part = {
  name: `one fdatasync takes ${STALL_MS / 1_000} s: nothing is acknowledged meanwhile, it is seen, and all goes on`,
  run: () =>
    inFolder(async dir => {
      const inject = `delay_exit=${STALL_MS * 1_000}:when=25`
      const writer = new WriterProcess({ dir, before: NOTHING_ACKNOWLEDGED, stopAfter: 60, inject })
      try {
        await writer.ended()
      } finally {
        await writer.kill()
      }
      const stuck = Math.max(
        0,
        ...writer.lines.filter(line => line.startsWith('stuck')).map(line => Number(line.slice(6))),
      )
      const told = `longest time without an acknowledgement ${Math.round(writer.longestGapMs)} ms, seen as stuck for ${stuck} ms`
      if (writer.lines.at(-1) !== 'closed') return failed(`${told}; its last line is "${writer.lines.at(-1)}"`)
      if (writer.longestGapMs < STALL_MS * 0.9 || stuck < STALL_MS * 0.8) return failed(told)
      await assertPromises(dir, writer.acknowledged)
      return passed(told)
    }),
}

export const FDATASYNC_PARTS: readonly Part[] = [eio, stall]
