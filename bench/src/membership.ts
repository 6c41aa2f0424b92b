/**
 * How long nobody gets an acknowledgement while nodes go and come: five processes on loopback with default timings become
 * three and five again, by the commands that a person runs, under a steady load on partitions of three replicas. The first
 * node to go leads the partition that is looked at. At the end every replica must have everything acknowledged, once.
 */
import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, json, type Topic } from '@millrace/client'
import { runMillrace, startCluster, type TestCluster, waitFor } from '@millrace/testkit'

const TOPIC = 'membership'
const PARTITIONS = 3
const REPLICATION = 3
const NODES = 5
const REPETITIONS = 3
/** Of the default settings, the shortest. */
const ELECTION_TIMEOUT_MS = 1_500
const GAP_MAX_MS = 2 * ELECTION_TIMEOUT_MS
const EVERY_MS = 10
/** Appends per partition that may wait for an answer. */
const WAITING_MAX = 2_000
/** Acknowledgements of each partition between two steps. */
const CALM_ACKS = 100
const CALM_MS = 500
const CALM_TIMEOUT_MS = 60_000
/** What follows the end of a step is its doing: leaderships go back where they belong. */
const AFTERMATH_MS = 3_000

/** Longest time without an acknowledgement, by the name of the step, one per repetition. */
type Gaps = Map<string, number[]>

/** `pnpm bench membership [--quick]` */
export async function benchMembership(args: readonly string[]): Promise<void> {
  const repetitions = args.includes('--quick') ? 1 : REPETITIONS
  await using cluster = await startCluster({ nodes: NODES })
  await using client = connect(cluster.urls)
  await client.topics.create(TOPIC, { partitions: PARTITIONS, replication: REPLICATION })
  await cluster.spreadLeaders(TOPIC)
  const topic = client.topic(TOPIC, { value: json<number>() })
  const loads = Array.from({ length: PARTITIONS }, (_, partition) => new Load(topic, partition))
  const gaps: Gaps = new Map()
  for (let time = 0; time < repetitions; time++) await shrinkAndGrow(cluster, loads, gaps)
  await Promise.all(loads.map(load => load.stop()))
  const isServed = report(gaps)
  await assertKept(cluster, loads)
  if (!isServed) throw new Error(`a gap was above 2 election timeouts, ${GAP_MAX_MS} ms, every time`)
}

/** From five nodes to three and back. */
async function shrinkAndGrow(cluster: TestCluster, loads: readonly Load[], gaps: Gaps): Promise<void> {
  const [leader = 0] = await cluster.leaders(TOPIC)
  const other = (leader % NODES) + 1
  const step = async (what: string, run: () => Promise<void>): Promise<void> => {
    const gapMs = await longestGap(loads, run)
    gaps.set(what, [...(gaps.get(what) ?? []), gapMs])
    process.stderr.write(`${what}: ${gapMs.toFixed(0)} ms\n`)
  }
  await step('5 to 4, the leader goes', () => remove(cluster, leader))
  await step('4 to 3', () => remove(cluster, other))
  await step('3 to 4', () => add(cluster, leader))
  await step('4 to 5', () => add(cluster, other))
}

/** Removed, and its process ended once the command says that it may. */
async function remove(cluster: TestCluster, node: number): Promise<void> {
  await millrace(cluster, 'cluster', 'remove-node', String(node))
  await cluster.nodes[node - 1]?.stop()
}

/** Comes back with nothing, as a new node would. */
async function add(cluster: TestCluster, node: number): Promise<void> {
  const { dataDir, configFile } = cluster.processes.layouts[node - 1]!
  rmSync(dataDir, { recursive: true })
  await command('init', '--config', configFile, '--join', urlsOf(cluster))
  await cluster.nodes[node - 1]?.start()
  await millrace(cluster, 'cluster', 'add-node', String(node))
  await cluster.processes.nodes[node - 1]?.ready()
}

function urlsOf(cluster: TestCluster): string {
  return cluster.nodes.flatMap(({ running, url }) => (running ? [url] : [])).join(',')
}

function millrace(cluster: TestCluster, ...args: readonly string[]): Promise<void> {
  return command(...args, '--url', urlsOf(cluster))
}

async function command(...args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runMillrace(args)
  if (exitCode !== 0) throw new Error(`millrace ${args.join(' ')}: ${stderr}`)
}

async function longestGap(loads: readonly Load[], run: () => Promise<void>): Promise<number> {
  await Promise.all(loads.map(load => load.calm()))
  const startedMs = performance.now()
  for (const load of loads) load.begin(startedMs)
  await run()
  await delay(AFTERMATH_MS)
  await Promise.all(loads.map(load => load.calm()))
  return Math.max(...loads.map(load => load.longestGapMs))
}

/** Appends one record after the other to one partition, whatever becomes of those before. */
class Load {
  /** Offset of each value that was acknowledged. */
  readonly acknowledged = new Map<number, number>()
  longestGapMs = 0
  sent = 0
  /** Appends that ended in an error: not stored, or unknown. */
  failed = 0
  #failure = ''
  #lastMs = performance.now()
  #waiting = 0
  readonly #timer: NodeJS.Timeout
  readonly #topic: Topic<number>
  readonly partition: number

  constructor(topic: Topic<number>, partition: number) {
    this.#topic = topic
    this.partition = partition
    this.#timer = setInterval(() => this.#send(), EVERY_MS)
  }

  begin(atMs: number): void {
    this.longestGapMs = 0
    this.#lastMs = atMs
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    while (this.#waiting > 0) await delay(5)
  }

  /** Resolves when the partition has answered at leisure for a while. */
  async calm(): Promise<void> {
    const before = this.acknowledged.size
    await delay(CALM_MS)
    const isCalm = () => this.acknowledged.size >= before + CALM_ACKS && this.#waiting <= CALM_ACKS
    const what = `partition ${this.partition} to answer again (the last error: ${this.#failure})`
    await waitFor(isCalm, { what, timeoutMs: CALM_TIMEOUT_MS })
  }

  #send(): void {
    if (this.#waiting >= WAITING_MAX) return
    const value = this.sent++
    this.#waiting++
    this.#topic.append({ value, partition: this.partition }).then(
      ({ offset }) => {
        const nowMs = performance.now()
        this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs)
        this.#lastMs = nowMs
        this.#waiting--
        this.acknowledged.set(value, offset)
      },
      (reason: unknown) => {
        this.#waiting--
        this.failed++
        this.#failure = String(reason)
      },
    )
  }
}

/** @returns whether every step served its clients in time at least once */
function report(gaps: Gaps): boolean {
  process.stdout.write(
    `longest time without an acknowledgement of a partition; election timeout ${ELECTION_TIMEOUT_MS} ms\n`,
  )
  for (const [what, samples] of gaps) {
    const each = samples.map(ms => `${ms.toFixed(0)} ms (${(ms / ELECTION_TIMEOUT_MS).toFixed(2)})`)
    process.stdout.write(`${what.padEnd(26)}${each.join(', ')}\n`)
  }
  return [...gaps.values()].every(samples => Math.min(...samples) <= GAP_MAX_MS)
}

/** Reads every replica by itself. */
async function assertKept(cluster: TestCluster, loads: readonly Load[]): Promise<void> {
  const { partitions } = await cluster.processes.summary()
  let lost = 0
  let doubled = 0
  let replicas = 0
  for (const load of loads) {
    const places = partitions.find(each => each.topic === TOPIC && each.partition === load.partition)?.replicas ?? []
    for (const node of places) {
      const found = await readReplica(cluster.urls[node - 1]!, load)
      lost += found.lost
      doubled += found.doubled
      replicas++
    }
  }
  const sum = (of: (load: Load) => number): number => loads.reduce((total, load) => total + of(load), 0)
  const [sent, acknowledged, failed] = [sum(l => l.sent), sum(l => l.acknowledged.size), sum(l => l.failed)]
  process.stdout.write(
    `${sent} sent, ${acknowledged} acknowledged, ${failed} not; on ${replicas} replicas ${lost} lost, ${doubled} doubled\n`,
  )
  if (replicas !== loads.length * REPLICATION)
    throw new Error(`${replicas} replicas, not ${loads.length * REPLICATION}`)
  if (lost + doubled > 0)
    throw new Error(`${lost} acknowledged records are not where they were, ${doubled} are there twice`)
}

/** Waits until the replica has what was acknowledged last. */
async function readReplica(url: string, load: Load): Promise<{ readonly lost: number; readonly doubled: number }> {
  await using client = connect(url, { routing: 'any' })
  const topic = client.topic(TOPIC, { value: json<number>() })
  const last = Math.max(...load.acknowledged.values())
  const read = async (): Promise<Map<number, number[]> | false> => {
    const offsets = new Map<number, number[]>()
    let end = -1
    for await (const { records } of topic.read({ from: 'earliest', partitions: [load.partition] })) {
      for (const { value, offset } of records) {
        offsets.set(value, [...(offsets.get(value) ?? []), offset])
        end = offset
      }
    }
    return end >= last && offsets
  }
  const found = await waitFor(read, { what: `${url} to have offset ${last}`, timeoutMs: 30_000 })
  const lost = [...load.acknowledged].filter(([value, offset]) => found.get(value)?.[0] !== offset).length
  const doubled = [...found.values()].filter(offsets => offsets.length > 1).length
  return { lost, doubled }
}
