/**
 * A process that appends, votes, trims and rolls in one group until it is stopped, and says line by line what was
 * acknowledged: `acked INDEX TERM BASE NS` (when it knew, on the clock of `process.hrtime`), `stuck MS`, `problem TEXT`,
 * `fatal TEXT`. What entry INDEX holds follows from INDEX alone, so that another process can tell what must be there.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Frame } from '@millrace/record'
import { type GroupLog, type LogStore, openSegmentedLogStore } from '../../packages/log-store/src/index.ts'
import { TestLog, testBase, written } from '../../packages/log-store/src/testing/index.ts'

export const WRITER_GROUP = 5
export const WRITER_SEGMENT_BYTES_MAX = 262_144
/** Entries that a trim leaves. */
const KEPT_ENTRIES = 200
/** Every so many turns one has that many times the entries: enough for rounds that are written past the page cache. */
const LARGE_TURNS = 4
const POLL_MS = 200
const RESERVE_PACE_MS = 25

/** The entries (first − 1, first + count − 1], as every process makes them. `source` stands just before the first. */
export function entriesAfter(source: TestLog, count: number): Frame[] {
  const frames: Frame[] = []
  for (let made = 0; made < count; made++) {
    const index = source.position.index + 1
    const payload = new Uint8Array(100 + ((index * 7_919) % 9_000)).fill(index)
    frames.push(source.next({ payload }))
  }
  return frames
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** One turn of the workload; which operations it has follows from its number. */
async function turn(log: GroupLog, source: TestLog, number: number): Promise<void> {
  const term = log.recovered.ballot.term + number
  const writes: Promise<void>[] = []
  if (number % 5 === 0) writes.push(written(log, { ballot: { term, vote: 1 } }))
  const times = number % LARGE_TURNS === 0 ? LARGE_TURNS : 1
  for (let count = 1; count <= 3; count++) writes.push(written(log, { frames: entriesAfter(source, count * times) }))
  await Promise.all(writes)
  if (number % 40 === 0 && log.end.index - log.base.index > KEPT_ENTRIES * 2) {
    const index = log.end.index - KEPT_ENTRIES
    const [frame] = await log.read(index, index + 1, 1)
    const { term: at, chain, timestamp, baseOffset, recordCount } = frame!.header
    await log.trimPrefix({ ...log.base, index, term: at, chain, timestamp, nextOffset: baseOffset + recordCount })
  }
  const now = process.hrtime.bigint()
  say(`acked ${log.durable.index} ${number % 5 === 0 ? term : term - (number % 5)} ${log.base.index} ${now}`)
}

/** Prints what the disk does meanwhile. */
function watch(store: LogStore): void {
  let accepts = true
  setInterval(() => {
    const { stuckMs } = store.stats()
    if (stuckMs >= 1_000) say(`stuck ${Math.round(stuckMs)}`)
    if (store.acceptsAppends !== accepts) say(store.acceptsAppends ? 'accepts' : 'refuses')
    accepts = store.acceptsAppends
  }, POLL_MS).unref()
}

async function main(dir: string, diskReserveBytes: number, stopAfter: number): Promise<void> {
  const store = await openSegmentedLogStore({
    dir,
    diskReserveBytes,
    segmentBytesMax: WRITER_SEGMENT_BYTES_MAX,
    tailCacheBytesMax: 100_000,
    ...(diskReserveBytes > 0 ? { trashKeepMs: 500 } : {}),
    onFatal: error => {
      say(`fatal ${error.message}`)
      process.exit(3)
    },
    onProblem: error => say(`problem ${error.message}`),
  })
  const log = store.groups()[0] ?? (await store.create(WRITER_GROUP, { replicaId: 1, base: testBase() }))
  say(`open ${log.end.index}`)
  watch(store)
  const source = new TestLog(WRITER_GROUP, log.end)
  for (let number = 1; number <= stopAfter; number++) {
    // A host appends nothing below the reserve. It takes up to a second to be noticed: no more than that may be written.
    do await sleep(diskReserveBytes > 0 ? RESERVE_PACE_MS : 0)
    while (diskReserveBytes > 0 && !store.acceptsAppends)
    await turn(log, source, number)
  }
  await store.close()
  say('closed')
}

if (import.meta.main) {
  const [dir = '', diskReserveBytes = '0', stopAfter = '1000000'] = process.argv.slice(2)
  await main(dir, Number(diskReserveBytes), Number(stopAfter))
}
