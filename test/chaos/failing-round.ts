/**
 * The unmodified Node binary under strace: a round is one `pwritev` that is durable when it returns, so that is where it
 * is made to fail, to run out of space, and to stall. Votes, marks and new segments: failing-fdatasync.ts.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { straceTrouble } from './machine.ts'
import { assertPromises } from './promises.ts'
import { failed, notRun, type Part, passed, type Verdict } from './verdict.ts'
import { type Acknowledged, NOTHING_ACKNOWLEDGED } from './writer-process.ts'

const WRITER: string = new URL('./writer.ts', import.meta.url).pathname
const TIMEOUT_MS = 120_000
const STALL_MS = 5_000
/** From which `pwritev` on all fail: a first segment, rounds, around a roll and an index that is saved. */
const FAILING: readonly number[] = [1, 2, 9, 40, 41, 42, 97]
/** Which lack space, each in a process of its own. */
const WITHOUT_SPACE: readonly number[] = [2, 11, 45]
/** What a write that lacked space says: a round or segment waits; an index, which costs nothing but time, is given up. */
const TOLD = /^problem (?:the disk is full|ENOSPC)/
/** Enough for each of these to be reached. */
const TURNS = 200

interface Ended {
  readonly lines: readonly string[]
  readonly acknowledged: Acknowledged
  /** The longest time between two acknowledgements. */
  readonly longestGapMs: number
}

/** Runs writer.ts to its end, with one thread in the pool so that calls are counted by `when=`. */
async function runWriter(dir: string, before: Acknowledged, inject: string): Promise<Ended> {
  const strace = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=pwritev', '-e', `inject=pwritev:${inject}`]
  const node = [process.execPath, '--conditions=millrace-source', WRITER, dir, '0', String(TURNS)]
  const child = spawn('strace', [...strace, ...node], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  const lines: string[] = []
  let acknowledged = before
  let longestGapMs = 0
  let newestMs = Number.POSITIVE_INFINITY
  createInterface({ input: child.stdout }).on('line', line => {
    lines.push(line)
    if (!line.startsWith('acked ')) return
    const [, index, term, base] = line.split(' ').map(Number)
    acknowledged = { index: index!, term: Math.max(term!, acknowledged.term), base: base! }
    longestGapMs = Math.max(longestGapMs, performance.now() - newestMs)
    newestMs = performance.now()
  })
  await once(child, 'close')
  return { lines, acknowledged, longestGapMs }
}

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
  name: `EIO from the writes of rounds (from the ${FAILING.join(', ')}th on): the process says so and ends; nothing acknowledged is lost`,
  run: () =>
    inFolder(async dir => {
      let promised = NOTHING_ACKNOWLEDGED
      for (const when of FAILING) {
        const { lines, acknowledged } = await runWriter(dir, promised, `error=EIO:when=${when}+`)
        const last = lines.at(-1) ?? ''
        if (!/^fatal writing .* failed \(EIO/.test(last))
          return failed(`from the ${when}th on: it ended with "${last}"`)
        promised = await assertPromises(dir, acknowledged)
      }
      return passed(`${FAILING.length} processes ended, ${promised.index} entries kept`)
    }),
}

const noSpace: Part = {
  name: `ENOSPC from one write (the ${WITHOUT_SPACE.join(', ')}th): it is repeated, and nothing else happens`,
  run: () =>
    inFolder(async dir => {
      let promised = NOTHING_ACKNOWLEDGED
      for (const when of WITHOUT_SPACE) {
        const { lines, acknowledged } = await runWriter(dir, promised, `error=ENOSPC:when=${when}`)
        if (lines.at(-1) !== 'closed') return failed(`the ${when}th: it ended with "${lines.at(-1)}"`)
        if (!lines.some(line => TOLD.test(line))) return failed(`the ${when}th: nothing was told`)
        promised = await assertPromises(dir, acknowledged)
      }
      return passed(`${promised.index} entries kept`)
    }),
}

const stall: Part = {
  name: `one write of a round takes ${STALL_MS / 1_000} s: nothing is acknowledged meanwhile, it is seen, and all goes on`,
  run: () =>
    inFolder(async dir => {
      const inject = `delay_exit=${STALL_MS * 1_000}:when=40`
      const { lines, acknowledged, longestGapMs } = await runWriter(dir, NOTHING_ACKNOWLEDGED, inject)
      const stuck = Math.max(0, ...lines.filter(line => line.startsWith('stuck')).map(line => Number(line.slice(6))))
      const told = `longest time without an acknowledgement ${Math.round(longestGapMs)} ms, seen as stuck for ${stuck} ms`
      if (lines.at(-1) !== 'closed') return failed(`${told}; its last line is "${lines.at(-1)}"`)
      if (longestGapMs < STALL_MS * 0.9 || stuck < STALL_MS * 0.8) return failed(told)
      await assertPromises(dir, acknowledged)
      return passed(told)
    }),
}

export const ROUND_PARTS: readonly Part[] = [eio, noSpace, stall]
