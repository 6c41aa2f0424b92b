/**
 * `millrace tour`: shows what a replicated log is for, and checks itself. A leader is killed while batches are
 * unacknowledged; afterwards every line must be there once, in order, at the offset that was acknowledged. Owns the
 * cluster and the processes of the tour, and leaves none behind.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { CliError, Interrupted } from '../cli-error.ts'
import { LocalCluster } from '../cluster/local-cluster.ts'
import { createTopic } from '../cluster/topic-api.ts'
import { freePorts } from '../process/ports.ts'
import { stopSignal } from '../process/stop-signal.ts'
import { waitFor } from '../process/wait-for.ts'
import { formatCount } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { loadCorpus } from './corpus.ts'
import { killLeader } from './leader-kill.ts'
import { digestOf, readLedger } from './ledger.ts'
import { gapAround, unacknowledgedAt } from './timeline.ts'
import type { FromConsumer, FromProducer, TourJob } from './tour-messages.ts'
import { startTourProcess } from './tour-process.ts'
import type { TourReport } from './tour-report.ts'
import { verify } from './verifier.ts'

export interface TourOptions {
  readonly input: string
  /** The input is repeated until there are this many. */
  readonly lines: number
  /** Kept afterwards; default: a temporary folder that is removed when all is well. */
  readonly dir?: string
}

const TOPIC = 'tour'
const PARTITIONS = 3
const NODES = 3
const STOP_GRACE_MS = 4000

/** Runs the tour and says what it found; prints each step as it happens. */
export async function runTour(terminal: Terminal, options: TourOptions): Promise<TourReport> {
  const corpus = loadCorpus(options.input, options.lines)
  const folder = options.dir === undefined ? mkdtempSync(join(tmpdir(), 'millrace-tour-')) : makeFolder(options.dir)
  const ports = await freePorts(NODES * 3)
  const cluster = new LocalCluster({
    folder,
    ports: Array.from({ length: NODES }, (_, at) => ({
      client: ports[at]!,
      peer: ports[at + 3]!,
      admin: ports[at + 6]!,
    })),
  })
  using stop = stopSignal()
  let isFaultless = false
  try {
    const story = tell(terminal)
    const times = Math.ceil(corpus.length / corpus.fileLines)
    const source = `${basename(options.input)}, ${formatCount(corpus.fileLines)} lines${times > 1 ? `, ${times} times over` : ''}`
    await startCluster(cluster, stop.signal)
    story(`${NODES} nodes serve: ${cluster.nodes.map(({ node, pid }) => `${node} (pid ${pid})`).join(', ')}`)
    const leaders = await spreadLeaders(cluster, stop.signal)
    story(
      `topic ${TOPIC}: ${leaders.map((node, partition) => `partition ${partition} led by node ${node}`).join(', ')}`,
    )
    story(`a producer appends ${formatCount(corpus.length)} lines (${source})`)
    const run = {
      folder,
      cluster,
      leaders,
      signal: stop.signal,
      story,
      input: resolve(options.input),
      lines: corpus.length,
    }
    const report = await act(run)
    isFaultless = report.ok
    return report
  } catch (error) {
    throw stop.signal.aborted ? new Interrupted() : error
  } finally {
    await cluster.stop(STOP_GRACE_MS)
    if ((isFaultless || stop.signal.aborted) && options.dir === undefined) rmSync(folder, { recursive: true })
    else terminal.note(`millrace: data, logs and ledgers are kept in ${folder}`)
  }
}

interface TourRun {
  readonly folder: string
  readonly cluster: LocalCluster
  /** Leading node of each partition. */
  readonly leaders: readonly number[]
  readonly signal: AbortSignal
  readonly story: (line: string) => void
  readonly input: string
  readonly lines: number
}

/** Append, kill, restart, read, compare. */
async function act(run: TourRun): Promise<TourReport> {
  const { folder, cluster, leaders, story } = run
  const job = (ledger: string): TourJob => ({
    urls: cluster.urls,
    topic: TOPIC,
    partitions: PARTITIONS,
    input: run.input,
    lines: run.lines,
    ledger: join(folder, ledger),
  })
  const producer = await startTourProcess<FromProducer>(
    'producer',
    'tour/producer-process',
    job('appended.ledger'),
    run.signal,
  )
  try {
    const partition = 1
    const victim = cluster.nodes[leaders[partition]! - 1]!
    await producer.message('underway')
    const led = new Set(leaders.flatMap((node, at) => (node === victim.node ? [at] : [])))
    const killedAt = await killLeader(victim, producer, led, run.signal)
    story(`node ${victim.node}, leader of partition ${partition}, is killed with SIGKILL in the middle of it`)
    const { batches, failures } = await producer.message('done')
    const unacknowledged = unacknowledgedAt(batches, killedAt, led)
    const gapMs = gapAround(batches, killedAt, led)
    const { batches: open, records } = unacknowledged
    story(
      `${open} ${open === 1 ? 'batch' : 'batches'} (${formatCount(records)} lines) were unacknowledged at that moment`,
    )
    await victim.restart()
    await inStep(run, victim.node)
    story(`node ${victim.node} is started again and in step`)
    const consumer = await startTourProcess<FromConsumer>(
      'consumer',
      'tour/consumer-process',
      job('read.ledger'),
      run.signal,
    )
    const { records: read } = await consumer.message('done').finally(() => consumer.child.kill('SIGTERM'))
    story(`a consumer, another process, has read ${formatCount(read)} records from the start`)
    return await judge(run, { failures, unacknowledged, gapMs })
  } finally {
    producer.child.kill('SIGTERM')
  }
}

async function judge(
  { folder, input, lines }: TourRun,
  facts: Pick<TourReport, 'failures' | 'unacknowledged' | 'gapMs'>,
): Promise<TourReport> {
  const corpus = loadCorpus(input, lines)
  const verdict = verify({
    expected: Array.from({ length: corpus.length }, (_, sequence) => digestOf(corpus.line(sequence))),
    acknowledged: await readLedger(join(folder, 'appended.ledger')),
    read: await readLedger(join(folder, 'read.ledger')),
  })
  const ok = verdict.ok && facts.failures.length === 0 && facts.unacknowledged.batches > 0 && facts.gapMs !== undefined
  return { ...facts, verdict, ok }
}

async function startCluster(cluster: LocalCluster, signal: AbortSignal): Promise<void> {
  cluster.configure()
  await cluster.found()
  await cluster.start(signal)
}

/** Makes the topic and waits until each of its partitions is led by another node. */
async function spreadLeaders(cluster: LocalCluster, signal: AbortSignal): Promise<number[]> {
  const made = { what: `topic ${TOPIC}`, timeoutMs: 30_000, signal }
  await waitFor(() => createTopic(cluster.urls, { name: TOPIC, partitions: PARTITIONS, ifNotExists: true }), made)
  return await waitFor(
    async () => {
      const { partitions } = await cluster.summary()
      const leaders = partitions.filter(({ topic }) => topic === TOPIC).map(({ leader }) => leader)
      return leaders.length === PARTITIONS && new Set(leaders).size === PARTITIONS && !leaders.includes(0) && leaders
    },
    { what: `leaders to spread over the nodes`, timeoutMs: 60_000, signal },
  )
}

/** Waits until a node that was started again holds everything. */
async function inStep({ cluster, signal }: TourRun, node: number): Promise<void> {
  await waitFor(
    async () => {
      const { partitions, nodes } = await cluster.summary()
      const up = nodes.every(({ status }) => status !== undefined)
      return up && partitions.every(partition => partition.leader !== 0 && (partition.lag.get(node) ?? 0) === 0)
    },
    { what: `node ${node} to catch up`, timeoutMs: 60_000, signal },
  )
}

function makeFolder(dir: string): string {
  const path = resolve(dir)
  try {
    mkdirSync(path, { recursive: true })
    return mkdtempSync(join(path, 'tour-'))
  } catch (error) {
    throw new CliError(`--dir: ${error instanceof Error ? error.message : String(error)}`, undefined, { cause: error })
  }
}

/** Prints each step with the seconds since the start. */
function tell(terminal: Terminal): (line: string) => void {
  const started = performance.now()
  return line => terminal.note(`${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${line}`)
}
