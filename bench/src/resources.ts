/**
 * What nodes take that do nothing yet, or nothing any more: time from their start to the first acknowledged append, and
 * processor time and memory while they are idle. Three processes of the built program on loopback, with default settings.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@millrace/client'
import { AskedProcess } from './catch-up/asked-process.ts'
import { mebibytes } from './catch-up/promises.ts'
import { cpuMsOf, monotonicMs } from './peers/process-figures.ts'
import { describeMachine } from './peers/report.ts'
import { residentBytes } from './resident-memory.ts'
import { type BuiltCluster, foundBuiltCluster } from './resources/built-cluster.ts'
import type { FirstAppend } from './resources/client-process.ts'
import { median } from './statistics.ts'
import { untilInterrupted } from './until-interrupted.ts'

interface Sizes {
  readonly starts: number
  /** Partitions of the only topic; 0: there is none. */
  readonly partitions: readonly number[]
  /** Without another leader or term anywhere. */
  readonly settleMs: number
  readonly idleMs: number
}

const FULL: Sizes = { starts: 5, partitions: [0, 100, 1_000], settleMs: 10_000, idleMs: 20_000 }
const QUICK: Sizes = { starts: 2, partitions: [0, 100], settleMs: 2_000, idleMs: 3_000 }
const REPLICATION = 3
const TOPIC = 'idle'
const PATIENCE_MS = 120_000
/** Of the table. */
const WIDTHS = [12, 24, 15, 15, 15, 16, 17]

/** `pnpm bench resources [--quick]` */
export async function benchResources(args: readonly string[]): Promise<void> {
  const sizes = args.includes('--quick') ? QUICK : FULL
  await untilInterrupted(async signal => {
    process.stdout.write(`${describeMachine()}; three nodes of the built program\n\n`)
    await measureStarts(sizes, signal)
    process.stdout.write(
      `\nidle for ${sizes.idleMs / 1_000} s, one topic with ${REPLICATION} replicas of each partition\n`,
    )
    const titles = [
      'partitions',
      'processor, three nodes',
      'node 1',
      'node 2',
      'node 3',
      'settled after',
      'leader changes',
    ]
    process.stdout.write(line(titles))
    for (const partitions of sizes.partitions) process.stdout.write(line(await measureIdle(partitions, sizes, signal)))
  })
}

async function measureStarts({ starts }: Sizes, signal: AbortSignal): Promise<void> {
  const client = await AskedProcess.start('../resources/client-process.ts', {}, 'the client')
  await using _client = { [Symbol.asyncDispose]: () => client.kill() }
  const fresh: number[] = []
  const again: number[] = []
  for (let turn = 0; turn < starts; turn++) {
    await using cluster = await foundBuiltCluster()
    fresh.push(await startToFirstAppend(cluster, client, `fresh-${turn}`))
    await cluster.local.stop()
    signal.throwIfAborted()
    again.push(await startToFirstAppend(cluster, client, `again-${turn}`))
    signal.throwIfAborted()
  }
  process.stdout.write('from the start of three processes to the first acknowledged append to a new topic\n')
  printTimes('over empty folders', fresh)
  printTimes('over the same folders again', again)
}

async function startToFirstAppend({ local }: BuiltCluster, client: AskedProcess, topic: string): Promise<number> {
  const startedMs = monotonicMs()
  const request: FirstAppend = { urls: local.urls, topic }
  const [acknowledgedMs] = await Promise.all([client.ask(request), ...local.nodes.map(node => node.start())])
  const ms = (acknowledgedMs as number) - startedMs
  process.stderr.write(`${topic}: ${ms.toFixed(0)} ms\n`)
  return ms
}

function printTimes(what: string, samples: number[]): void {
  // Sorts them.
  const middle = median(samples)
  const range = `${samples[0]?.toFixed(0)}–${samples.at(-1)?.toFixed(0)} ms`
  process.stdout.write(`  ${what.padEnd(30)}median ${middle.toFixed(0)} ms, ${range} in ${samples.length} starts\n`)
}

/** Of nodes that have never had anything else. */
async function measureIdle(partitions: number, sizes: Sizes, signal: AbortSignal): Promise<string[]> {
  await using cluster = await foundBuiltCluster()
  const { local } = cluster
  await local.start(signal)
  process.stderr.write(`${partitions} partitions\n`)
  const createdMs = monotonicMs()
  if (partitions > 0) await create(cluster, partitions)
  const isCalm = await calm(cluster, partitions, sizes.settleMs, signal)
  const settledMs = monotonicMs() - createdMs - sizes.settleMs
  const pids = local.nodes.map(({ pid }) => pid)
  const leaderships = await leadershipsOf(cluster)
  const before = cpuMsOf(pids)
  const startedMs = monotonicMs()
  await sleep(sizes.idleMs, undefined, { signal })
  const share = (100 * (cpuMsOf(pids) - before)) / (monotonicMs() - startedMs)
  return [
    String(partitions),
    `${share.toFixed(1)} % of one core`,
    ...pids.map(pid => mebibytes(residentBytes(pid))),
    isCalm ? `${(settledMs / 1_000).toFixed(0)} s` : `not in ${PATIENCE_MS / 1_000} s`,
    String(changed(leaderships, await leadershipsOf(cluster))),
  ]
}

async function create({ local }: BuiltCluster, partitions: number): Promise<void> {
  await using client = connect(local.urls)
  await client.topics.create(TOPIC, { partitions, replication: REPLICATION })
}

/**
 * Waits until every partition has a leader, and none another one or a newer term for `calmMs`: elections, and the transfers
 * after them, are no idleness.
 *
 * @returns false where that takes too long
 */
async function calm(cluster: BuiltCluster, partitions: number, calmMs: number, signal: AbortSignal): Promise<boolean> {
  const deadlineMs = monotonicMs() + PATIENCE_MS
  let before = await leadershipsOf(cluster)
  for (;;) {
    await sleep(calmMs, undefined, { signal })
    const now = await leadershipsOf(cluster)
    // The catalogue is one more.
    const isLed = now.size === partitions + 1 && ![...now.values()].some(({ leader }) => leader === 0)
    if (isLed && changed(before, now) === 0) return true
    if (monotonicMs() > deadlineMs) return false
    before = now
  }
}

interface Leadership {
  readonly leader: number
  readonly term: number
}

type Leaderships = ReadonlyMap<string, Leadership>

async function leadershipsOf({ local }: BuiltCluster): Promise<Leaderships> {
  const { partitions } = await local.summary()
  return new Map(partitions.map(({ topic, partition, leader, term }) => [`${topic}/${partition}`, { leader, term }]))
}

/** Groups that have another leader than before, or the same in another term. */
function changed(before: Leaderships, now: Leaderships): number {
  const isChanged = ([group, { leader, term }]: readonly [string, Leadership]): boolean => {
    const was = before.get(group)
    return was?.leader !== leader || was.term !== term
  }
  return [...now].filter(isChanged).length
}

function line(cells: readonly string[]): string {
  return `${cells.map((cell, at) => cell.padStart(WIDTHS[at]!)).join('')}\n`
}
