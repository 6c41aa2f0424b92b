/**
 * A partition on three brokers: node 3 is killed while a client appends as fast as it can, its data folder removed, and the
 * node replaced by `millrace cluster replace-node`. Its connection is cut three times while the log comes.
 */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeFaults, type Faults, NO_FAULTS } from '@millrace/cli/bench'
import { connect } from '@millrace/client'
import { dumpLog } from '@millrace/log-store/offline'
import { freePorts, LocalCluster, runMillrace, startMillrace, TcpProxy, waitFor } from '@millrace/testkit'
import { forgetPeaks, peakRssBytes } from '../peers/process-figures.ts'
import { AppendRates, type Interval, judgeAppends } from './append-rates.ts'
import { AskedProcess } from './asked-process.ts'
import type { LoadCount, LoadRequest, LoadSetup } from './load-process.ts'
import { ELECTION_TIMEOUT_MIN_MS, figure, MEMORY_BYTES_MAX, mebibytes, type Promises } from './promises.ts'

export interface PartitionSize {
  /** What retention keeps. */
  readonly logBytes: number
  readonly segmentBytesMax: number
  /** For the throughput without a replacement. */
  readonly beforeMs: number
  /** The run is long enough for the throughput to be judged. */
  readonly isMeasured: boolean
}

const RECORD_BYTES = 1_024
const CALL_RECORDS = 500
const CALLS_IN_FLIGHT = 16
const VICTIM = 3
/** Where the connection is cut: parts of the log that the new replica has. */
const CUTS = [0.2, 0.45, 0.7]
const CHAINS_KEPT = 64
/** Several looks of retention. */
const RETENTION_SETTLED_MS = 4_000
const PATIENCE_MS = 600_000

export async function runPartition(size: PartitionSize, folder: string, promises: Promises): Promise<void> {
  const run = await PartitionRun.start(size, folder)
  try {
    await run.fill()
    await run.replace()
    await run.judge(promises)
  } finally {
    await run.close()
  }
}

class PartitionRun {
  readonly #size: PartitionSize
  readonly #proxy: TcpProxy
  readonly #cluster: LocalCluster
  readonly #load: AskedProcess
  readonly #topic: string
  readonly #rates = new AppendRates()
  #sampling = true
  #sampler: Promise<void> | undefined
  #loadedMs = 0
  #startedMs = 0
  #replacedMs = 0
  #group = 0
  #bytesOfLog = 0
  /** Log start when the node was lost, and when it was replaced. */
  #startBefore = 0
  #startThen = 0

  private constructor(
    size: PartitionSize,
    proxy: TcpProxy,
    { cluster, load, topic }: { readonly cluster: LocalCluster; readonly load: AskedProcess; readonly topic: string },
  ) {
    this.#size = size
    this.#proxy = proxy
    this.#cluster = cluster
    this.#load = load
    this.#topic = topic
  }

  static async start(size: PartitionSize, folder: string): Promise<PartitionRun> {
    const free = await freePorts(9)
    const ports = [0, 1, 2].map(at => ({ client: free[at]!, peer: free[3 + at]!, admin: free[6 + at]! }))
    const proxy = await TcpProxy.to(ports[VICTIM - 1]!.peer)
    const nodes = ports.map(({ client, peer }, at) => {
      const peerAddress = at + 1 === VICTIM ? proxy.address : `127.0.0.1:${peer}`
      return { node: at + 1, clientUrl: `http://127.0.0.1:${client}`, peerAddress }
    })
    const settings = {
      'cluster.nodes': nodes,
      'raft.electionTimeoutMinMs': ELECTION_TIMEOUT_MIN_MS,
      'retention.intervalMs': '1s',
      'storage.segmentBytesMax': size.segmentBytesMax,
    }
    const cluster = new LocalCluster({ folder, ports, settings })
    try {
      cluster.configure()
      await cluster.found()
      await cluster.start()
      const topic = await topicLedByOther(cluster, size.logBytes)
      const setup: LoadSetup = {
        ...{ urls: cluster.urls, topic, recordBytes: RECORD_BYTES },
        ...{ callRecords: CALL_RECORDS, callsInFlight: CALLS_IN_FLIGHT },
      }
      const load = await AskedProcess.start('load-process.ts', setup, 'the client')
      return new PartitionRun(size, proxy, { cluster, load, topic })
    } catch (error) {
      await cluster.crash()
      await proxy.close()
      throw error
    }
  }

  async fill(): Promise<void> {
    const { logBytes, segmentBytesMax } = this.#size
    // So much that retention is at work before the node is lost.
    await this.#ask({ type: 'run', recordsMax: Math.ceil((logBytes + 2 * segmentBytesMax) / RECORD_BYTES) })
    await this.#until('the log to be filled', async () => !(await this.#count()).running)
  }

  async replace(): Promise<void> {
    await this.#ask({ type: 'run' })
    this.#sampler = this.#sample()
    // A process that ended: whoever waits for the samples hears of it.
    this.#sampler.catch(() => undefined)
    await sleep(this.#size.beforeMs / 5)
    this.#loadedMs = performance.now()
    forgetPeaks(this.#cluster.nodes.map(({ pid }) => pid))
    await sleep(this.#size.beforeMs)
    const lost = this.#cluster.nodes[VICTIM - 1]!
    this.#startBefore = await this.#logStart()
    await lost.crash()
    rmSync(lost.layout.dataDir, { recursive: true })
    const sentBefore = this.#proxy.bytesSent
    await this.#until('the others to see that the node is gone', async () => {
      return (await this.#millrace('cluster', 'replace-node', `${VICTIM}`, '--no-wait')).exitCode === 0
    })
    await using replacing = startMillrace(['cluster', 'replace-node', `${VICTIM}`, ...this.#url])
    // It is refused once the node runs again.
    await this.#until('replace-node to wait', async () => replacing.stderr.includes('waits for the node to join'))
    const prepared = await runMillrace(['init', '--join', this.#cluster.urls[0]!, '--config', lost.layout.configFile])
    if (prepared.exitCode !== 0) throw new Error(prepared.stderr)
    this.#startedMs = performance.now()
    await lost.start()
    await this.#cutThrice()
    const { exitCode, stderr } = await replacing.ended
    if (exitCode !== 0) throw new Error(stderr)
    this.#replacedMs = performance.now()
    this.#startThen = await this.#logStart()
    this.#bytesOfLog = this.#proxy.bytesSent - sentBefore
    figure('replace-node has ended', `after ${((this.#replacedMs - this.#startedMs) / 1_000).toFixed(1)} s`)
  }

  async judge(promises: Promises): Promise<void> {
    await this.#until('retention to go on', async () => (await this.#logStart()) > this.#startThen)
    this.#sampling = false
    await this.#sampler
    await this.#ask({ type: 'stop' })
    await this.#until('the load to end', async () => !(await this.#count()).running)
    await this.#until('equal ends', async () => {
      const replicas = await this.#replicas()
      return replicas.length === 3 && new Set(replicas.map(({ applied }) => applied)).size === 1
    })
    await this.#settled()
    this.#judgeRate(promises)
    await this.#judgeSnapshots(promises)
    const peaks = this.#cluster.nodes.map(({ pid }) => peakRssBytes(pid) ?? 0)
    promises.expect(
      `memory of every node is below ${mebibytes(MEMORY_BYTES_MAX)}`,
      peaks.every(peak => peak <= MEMORY_BYTES_MAX),
      peaks.map((peak, at) => `node ${at + 1} ${mebibytes(peak)}`).join(', '),
    )
    const { acknowledged, failed, lastError } = await this.#count()
    const faults = (await this.#ask({ type: 'verify' })) as Faults
    promises.expect(
      'every acknowledged record is there, once and in order',
      Object.entries(NO_FAULTS).every(([name, count]) => faults[name as keyof Faults] === count),
      `${acknowledged} acknowledged, ${failed} not${failed > 0 ? ` (${lastError})` : ''}: ${describeFaults(faults)}`,
    )
    await this.#judgeLogs(promises)
  }

  /** Until retention has taken all that it may. */
  async #settled(): Promise<void> {
    for (let before = -1, now = await this.#logStart(); before !== now; now = await this.#logStart()) {
      before = now
      await sleep(RETENTION_SETTLED_MS)
    }
  }

  async close(): Promise<void> {
    this.#sampling = false
    await this.#load.kill()
    await this.#cluster.crash()
    await this.#proxy.close()
  }

  get #url(): readonly string[] {
    return ['--url', this.#cluster.urls.join(',')]
  }

  #millrace(...args: readonly string[]): ReturnType<typeof runMillrace> {
    return runMillrace([...args, ...this.#url])
  }

  #ask(request: LoadRequest): Promise<unknown> {
    return this.#load.ask(request)
  }

  async #count(): Promise<LoadCount> {
    return (await this.#ask({ type: 'count' })) as LoadCount
  }

  #until(what: string, holds: () => Promise<boolean>): Promise<unknown> {
    return waitFor(holds, { what, timeoutMs: PATIENCE_MS })
  }

  async #sample(): Promise<void> {
    while (this.#sampling) {
      const { acknowledged } = await this.#count()
      this.#rates.add(performance.now(), acknowledged * RECORD_BYTES)
      await sleep(100)
    }
  }

  async #logStart(): Promise<number> {
    return (await this.#ask({ type: 'logStart' })) as number
  }

  /** What the nodes say of their replicas of the partition. */
  async #replicas() {
    const { nodes } = await this.#cluster.summary()
    return nodes.flatMap(({ status }) => status?.replicas.filter(({ topic }) => topic === this.#topic) ?? [])
  }

  /** Entries that the new replica has, as its leader sees it. */
  async #progress(): Promise<{ readonly match: number; readonly last: number }> {
    const leader = (await this.#replicas()).find(({ role }) => role === 'leader')
    if (leader === undefined) return { match: 0, last: 0 }
    this.#group = Number(leader.group)
    // While the lost replica is a member too, there are two on that node.
    const matches = leader.followers
      .filter(({ node }) => node === VICTIM)
      .map(({ match, recentlyActive }) => {
        return recentlyActive ? Number(match) : 0
      })
    return { match: Math.max(0, ...matches), last: Number(leader.lastIndex) }
  }

  async #cutThrice(): Promise<void> {
    const { last: wanted } = await this.#progress()
    let match = 0
    const until = (what: string, holds: () => boolean): Promise<unknown> =>
      this.#until(what, async () => {
        match = (await this.#progress()).match
        return holds()
      })
    await until('a snapshot to be installed', () => match > 0)
    const first = match
    let cutAt = match
    for (const part of CUTS) {
      // Beyond where it was cut before: it is connected again.
      await until(`${part} of the log to be there`, () => match > cutAt && match >= first + part * (wanted - first))
      cutAt = match
      this.#proxy.cut()
      figure('connection cut', `at entry ${match} of ${first} to ${wanted}`)
    }
  }

  #judgeRate(promises: Promises): void {
    const before: Interval = { fromMs: this.#loadedMs, toMs: this.#loadedMs + this.#size.beforeMs }
    const during: Interval = { fromMs: this.#startedMs, toMs: this.#replacedMs }
    judgeAppends(promises, 'partition', { rates: this.#rates, before, during, isJudged: this.#size.isMeasured })
  }

  async #judgeSnapshots(promises: Promises): Promise<void> {
    const total = async (name: string, nodes: readonly number[]): Promise<number> => {
      const values = await Promise.all(
        nodes.map(node => metricOf(this.#cluster.nodes[node - 1]!.layout.adminUrl, name)),
      )
      return values.reduce((sum, value) => sum + value, 0)
    }
    const installed = await total('millrace_snapshots_installed_total', [VICTIM])
    const received = await total('millrace_snapshot_received_bytes_total', [VICTIM])
    const sent = await total('millrace_snapshot_sent_bytes_total', [1, 2])
    promises.expect(
      'catalogue and partition need one snapshot each, and retention forces no second one',
      installed === 2,
      `${installed} installed; ${sent} bytes sent, ${received} received`,
    )
    const starts = [this.#startBefore, this.#startThen, await this.#logStart()]
    promises.expect(
      'retention goes on',
      starts[0]! < starts[1]! && starts[1]! < starts[2]!,
      `the log started at offset ${starts[0]} when the node was lost, ${starts[1]} when it was replaced, ${starts[2]} later`,
    )
    figure(
      'sent to the new replica',
      `${mebibytes(this.#bytesOfLog)} with everything, over the connection that was cut`,
    )
  }

  /** Reads every byte of the logs: their frames are chained, so that equal ends are equal logs. */
  async #judgeLogs(promises: Promises): Promise<void> {
    await this.#cluster.stop()
    const logs = await Promise.all(this.#cluster.layouts.map(({ dataDir }) => logIn(dataDir, this.#group)))
    // Nodes that stop give their leaderships away: the last may have an entry that the others have not.
    const end = Math.min(...logs.map(({ last }) => last))
    const chains = logs.map(({ chains }) => chains.get(end)?.toString(16) ?? 'none')
    const damage = logs.flatMap(log => log.damage ?? [])
    promises.expect(
      'the logs of all replicas are whole, and equal',
      damage.length === 0 && new Set(chains).size === 1 && !chains.includes('none'),
      `${logs.map(({ first }, at) => `entries ${first} to ${end} with chain ${chains[at]}`).join(', ')}${damage.join()}`,
    )
  }
}

/** A topic of one partition, which is led by a node that is not to be lost: no election disturbs the measurement. */
async function topicLedByOther(cluster: LocalCluster, retentionBytes: number): Promise<string> {
  await using client = connect(cluster.urls)
  for (let i = 0; ; i++) {
    const topic = `catch-up-${i}`
    await client.topics.create(topic, { partitions: 1, retentionMs: 0, retentionBytes })
    let leader = 0
    await waitFor(
      async () => {
        const { partitions } = await cluster.summary()
        leader = partitions.find(partition => partition.topic === topic)?.leader ?? 0
        return leader !== 0
      },
      { what: 'a leader', timeoutMs: PATIENCE_MS },
    )
    if (leader !== VICTIM) return topic
    await client.topics.delete(topic)
  }
}

async function metricOf(adminUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
}

interface ReadLog {
  readonly first: number
  readonly last: number
  /** Of the last entries, by index: the checksum that joins all entries to that one. */
  readonly chains: ReadonlyMap<number, number>
  readonly damage?: string
}

async function logIn(dataDir: string, group: number): Promise<ReadLog> {
  const chains = new Map<number, number>()
  let first = 0
  let last = 0
  for await (const item of dumpLog(dataDir, { group })) {
    if (item.type === 'damage' || item.type === 'incomplete')
      return { first, last, chains, damage: `; ${item.type} in ${item.file}: ${item.what}` }
    if (item.type !== 'frame') continue
    const { index, chain } = item.header
    if (last !== 0 && index !== last + 1)
      return { first, last, chains, damage: `; entry ${index} in ${dataDir} comes after ${last}` }
    first ||= index
    last = index
    chains.set(index, chain)
    chains.delete(index - CHAINS_KEPT)
  }
  return { first, last, chains }
}
