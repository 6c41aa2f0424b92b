/**
 * How long nobody gets an acknowledgement when the leader is killed, or stops in order: three processes on loopback with
 * default timings, one client that goes on appending at a fixed rate. At the end everything acknowledged must be there, once.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { connect, json, type Topic } from '@millrace/client'
import { startCluster, type TestCluster } from '@millrace/testkit'
import { median, percentile } from './statistics.ts'

const TOPIC = 'failover'
const KILLS = 20
const STOPS = 10
const QUICK_DIVISOR = 5
const EVERY_MS = 2
/** Appends that may wait for an answer. */
const WAITING_MAX = 20_000
/** Acknowledgements between two failovers. */
const CALM_ACKS = 200
const CALM_MS = 500
/** What follows the end of a leader that stops: gaps up to then are its doing. */
const AFTERMATH_MS = 3_000

/** `pnpm bench failover [--quick]` */
export async function benchFailover(args: readonly string[]): Promise<void> {
  const divisor = args.includes('--quick') ? QUICK_DIVISOR : 1
  await using cluster = await startCluster()
  await using client = connect(cluster.urls)
  await client.topics.create(TOPIC, { partitions: 1 })
  await cluster.leaders(TOPIC)
  const load = new Load(client.topic(TOPIC, { value: json<number>() }))
  const kills = await repeat(cluster, load, KILLS / divisor, gapOfKill)
  print(`kill -9 of the leader, ${kills.length} times: ms from the kill to an acknowledged append sent after it`, kills)
  const stops = await repeat(cluster, load, STOPS / divisor, gapOfStop)
  print(`SIGTERM to the leader, ${stops.length} times: longest time without an acknowledgement, ms`, stops)
  await load.stop()
  await assertKept(client.topic(TOPIC, { value: json<number>() }), load)
}

/** Appends one record after the other, whatever becomes of those before. */
class Load {
  readonly acknowledged: number[] = []
  /** Times at which appends were acknowledged: when sent, when answered. */
  #answers: { readonly sentMs: number; readonly atMs: number }[] = []
  #sent = 0
  #waiting = 0
  #failed = 0
  readonly #timer: NodeJS.Timeout
  readonly #topic: Topic<number>

  constructor(topic: Topic<number>) {
    this.#topic = topic
    this.#timer = setInterval(() => this.#send(), EVERY_MS)
  }

  get sent(): number {
    return this.#sent
  }

  /** How many ended in an error: not stored, or unknown. */
  get failed(): number {
    return this.#failed
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    while (this.#waiting > 0) await delay(5)
  }

  /** Resolves when the cluster has answered at leisure for a while. */
  async calm(): Promise<void> {
    const before = this.acknowledged.length
    await delay(CALM_MS)
    while (this.acknowledged.length < before + CALM_ACKS || this.#waiting > CALM_ACKS) await delay(20)
  }

  /** When the first append that was sent after `ms` was acknowledged. */
  async acknowledgedAfter(ms: number): Promise<number> {
    for (;;) {
      const first = this.#answers.find(({ sentMs }) => sentMs > ms)
      if (first !== undefined) return first.atMs
      await delay(1)
    }
  }

  /** The longest time without an acknowledgement since `ms`. */
  longestGapSince(ms: number): number {
    let last = ms
    let longest = 0
    for (const { atMs } of this.#answers) {
      if (atMs < ms) continue
      longest = Math.max(longest, atMs - last)
      last = atMs
    }
    return longest
  }

  forget(): void {
    this.#answers = []
  }

  #send(): void {
    if (this.#waiting >= WAITING_MAX) return
    const value = this.#sent++
    const sentMs = performance.now()
    this.#waiting++
    this.#topic.append({ value }).then(
      () => {
        this.#waiting--
        this.acknowledged.push(value)
        this.#answers.push({ sentMs, atMs: performance.now() })
      },
      () => {
        this.#waiting--
        this.#failed++
      },
    )
  }
}

type Failover = (cluster: TestCluster, leader: number, load: Load) => Promise<number>

async function repeat(cluster: TestCluster, load: Load, times: number, failover: Failover): Promise<number[]> {
  const samples: number[] = []
  for (let time = 0; time < times; time++) {
    await load.calm()
    load.forget()
    const [leader = 0] = await cluster.leaders(TOPIC)
    samples.push(await failover(cluster, leader, load))
    await cluster.nodes[leader - 1]?.start()
    await cluster.processes.ready()
    process.stderr.write(`${time + 1}/${times}: ${samples.at(-1)?.toFixed(0)} ms\n`)
  }
  return samples
}

const gapOfKill: Failover = async (cluster, leader, load) => {
  const killedMs = performance.now()
  await cluster.nodes[leader - 1]?.crash()
  return (await load.acknowledgedAfter(killedMs)) - killedMs
}

const gapOfStop: Failover = async (cluster, leader, load) => {
  const startedMs = performance.now()
  await cluster.nodes[leader - 1]?.stop()
  await load.acknowledgedAfter(performance.now())
  await delay(AFTERMATH_MS)
  return load.longestGapSince(startedMs)
}

function print(what: string, samples: number[]): void {
  const figures = [median(samples), percentile(samples, 0.9), samples.at(-1) ?? Number.NaN].map(each => each.toFixed(0))
  process.stdout.write(`${what}\n  median ${figures[0]}, 9 in 10 ${figures[1]}, worst ${figures[2]}\n`)
}

async function assertKept(topic: Topic<number>, load: Load): Promise<void> {
  const seen = new Set<number>()
  let doubled = 0
  for await (const { records } of topic.read({ from: 'earliest' })) {
    for (const { value } of records) {
      if (seen.has(value)) doubled++
      seen.add(value)
    }
  }
  const lost = load.acknowledged.filter(value => !seen.has(value)).length
  const { sent, failed, acknowledged } = load
  process.stdout.write(
    `${sent} sent, ${acknowledged.length} acknowledged, ${failed} not; ${lost} lost, ${doubled} doubled\n`,
  )
  if (lost + doubled > 0) throw new Error(`${lost} acknowledged records were lost, ${doubled} are there twice`)
}
