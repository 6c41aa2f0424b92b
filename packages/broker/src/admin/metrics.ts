/**
 * What a node counts, and how /metrics shows it. The hot path increments plain numbers; Prometheus' metrics are filled
 * from them, from the replicas and from the log store when somebody asks.
 */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import type { LogStore } from '@millrace/log-store'
import type { GroupDamage, RaftNode } from '@millrace/raft-node'
import type { Topics } from '@millrace/topics'
import { Counter, Gauge, Registry } from 'prom-client'
import { LatencyHistogram } from './latency-histogram.ts'

/** Plain numbers, incremented where the thing happens. */
export class BrokerCounters {
  recordsAppended = 0
  bytesAppended = 0
  appendsRefused = 0
  recordsRead = 0
  bytesRead = 0
  forwards = 0
  forwardsFailed = 0
  refusedOrigins = 0
  readStreams = 0
  appendStreams = 0
  backupStreams = 0
  connections = 0
  readonly appendSeconds: LatencyHistogram = new LatencyHistogram(
    'millrace_append_seconds',
    'Time from taking a batch on the leader to knowing that it is committed.',
  )
}

/** What the gauges look at. The log store is absent where nothing is kept on disk. */
export interface MetricSources {
  readonly counters: BrokerCounters
  readonly topics: Topics
  readonly node: Pick<RaftNode, 'snapshots' | 'repairs'>
  readonly logStore?: Pick<LogStore, 'stats' | 'acceptsAppends'>
}

type Snapshots = ReturnType<RaftNode['snapshots']>

export interface Metrics {
  /** The whole page in Prometheus' text format. */
  render(): Promise<string>
  readonly contentType: string
  close(): void
}

const COUNTERS: readonly (readonly [string, string, (counters: BrokerCounters) => number])[] = [
  ['millrace_appended_records_total', 'Records appended by this node as leader.', c => c.recordsAppended],
  ['millrace_appended_bytes_total', 'Bytes of record sets appended by this node as leader.', c => c.bytesAppended],
  ['millrace_refused_appends_total', 'Batches that this node refused or lost.', c => c.appendsRefused],
  ['millrace_read_records_total', 'Records sent to readers.', c => c.recordsRead],
  ['millrace_read_bytes_total', 'Bytes of frames sent to readers.', c => c.bytesRead],
  ['millrace_forwards_total', 'Calls passed on to the node that leads.', c => c.forwards],
  ['millrace_failed_forwards_total', 'Calls passed on that failed.', c => c.forwardsFailed],
  ['millrace_refused_origins_total', 'Requests refused for their Host or Origin.', c => c.refusedOrigins],
]

const SNAPSHOT_COUNTERS: readonly (readonly [string, string, (snapshots: Snapshots) => number])[] = [
  ['millrace_snapshots_taken_total', 'Snapshots that replicas on this node took.', s => s.taken],
  ['millrace_snapshots_sent_total', 'Snapshots that reached another node from here.', s => s.sent],
  ['millrace_snapshots_installed_total', 'Snapshots of other nodes installed here.', s => s.installed],
  ['millrace_snapshot_sent_bytes_total', 'Bytes of snapshots sent, those sent twice included.', s => s.bytesSent],
  ['millrace_snapshot_received_bytes_total', 'Bytes of snapshots received and stored.', s => s.bytesReceived],
]

type Retained = ReturnType<Topics['retention']>

const RETENTION_COUNTERS: readonly (readonly [string, string, (retained: Retained) => number])[] = [
  ['millrace_log_trims_total', 'Trims of logs here behind their log start.', r => r.trims],
  ['millrace_trimmed_records_total', 'Records that left logs here with those.', r => r.recordsTrimmed],
]

type Repairs = ReturnType<RaftNode['repairs']>

const SNAPSHOT_GAUGES: readonly (readonly [string, string, (snapshots: Snapshots) => number])[] = [
  ['millrace_snapshots_sending', 'Transfers of snapshots to other nodes under way.', s => s.sending],
  ['millrace_snapshots_waiting', 'Transfers of snapshots that wait for their turn.', s => s.waiting],
  [
    'millrace_snapshot_remaining_bytes',
    'Bytes that the transfers under way still have to send.',
    s => s.transfers.reduce((bytes, transfer) => bytes + transfer.bytesTotal - transfer.bytes, 0),
  ],
]

const REPAIR_COUNTERS: readonly (readonly [string, string, (repairs: Repairs) => number])[] = [
  [
    'millrace_repaired_entries_total',
    'Log entries fetched from other nodes in place of damage.',
    r => r.framesRepaired,
  ],
  ['millrace_repaired_bytes_total', 'Bytes of log entries fetched in place of damage.', r => r.bytesRepaired],
  ['millrace_repair_entries_served_total', 'Log entries given to other nodes for repairs.', r => r.framesServed],
  ['millrace_states_fetched_total', 'Lost states that were replaced by those of other nodes.', r => r.statesFetched],
  [
    'millrace_state_fetched_bytes_total',
    'Bytes of states received for that, those in vain included.',
    r => r.stateBytesFetched,
  ],
  ['millrace_states_served_total', 'States given to other nodes that had lost theirs.', r => r.statesServed],
]

const GAUGES: readonly (readonly [string, string, (sources: MetricSources) => number])[] = [
  ['millrace_leader_replicas', 'Replicas on this node that lead.', s => countRole(s.topics, true)],
  ['millrace_follower_replicas', 'Replicas on this node that do not lead.', s => countRole(s.topics, false)],
  [
    'millrace_commit_lag_entries',
    'Largest number of entries in a log here that are not committed.',
    s => lag(s, 'commit'),
  ],
  [
    'millrace_apply_lag_entries',
    'Largest number of committed entries that are not applied here.',
    s => lag(s, 'apply'),
  ],
  ['millrace_halted_replicas', 'Replicas on this node that stopped because of damage.', s => countHalted(s.topics)],
  [
    'millrace_state_missing_replicas',
    'Replicas on this node whose state is lost: they vote and store, and neither lead nor serve.',
    s => s.topics.replicas().filter(({ handle }) => handle.status().state?.missing === true).length,
  ],
  ['millrace_log_holes', 'Ranges of logs here that cannot be read.', s => damage(s, ({ holes }) => holes.length)],
  ['millrace_log_missing_entries', 'Entries in those ranges.', s => damage(s, ({ entriesMissing }) => entriesMissing)],
  [
    'millrace_repairs_running',
    'Replicas that repair their logs, or wait for their turn.',
    s => s.node.repairs().running,
  ],
  ['millrace_log_bytes', 'Bytes of the logs here; what is in the trash is not counted.', s => logBytes(s.topics)],
  [
    'millrace_clock_in_doubt',
    '1 while nothing is removed by age where this node leads.',
    s => Number(s.topics.retention().isClockInDoubt),
  ],
  ['millrace_read_streams', 'Open reads.', s => s.counters.readStreams],
  ['millrace_append_streams', 'Open append streams.', s => s.counters.appendStreams],
  ['millrace_connections', 'Open connections to the client port.', s => s.counters.connections],
]

const DISK: readonly (readonly [string, string, (store: NonNullable<MetricSources['logStore']>) => number])[] = [
  [
    'millrace_fsyncs',
    'Durable writes (writes through, and fdatasyncs) completed since the start.',
    store => store.stats().fsyncs,
  ],
  [
    'millrace_fsync_milliseconds_total',
    'Time spent in durable writes since the start.',
    store => store.stats().fsyncMsTotal,
  ],
  ['millrace_log_bytes_written', 'Bytes written to logs since the start.', store => store.stats().bytesWritten],
  ['millrace_disk_stuck_milliseconds', 'Age of the oldest write that runs.', store => store.stats().stuckMs],
  ['millrace_disk_free_bytes', 'Free space of the data folder.', store => store.stats().diskFreeBytes],
  ['millrace_accepts_appends', '0 while the disk reserve is reached.', store => Number(store.acceptsAppends)],
]

/** Registers everything in a registry of its own: two brokers in one process do not meet. */
export function createMetrics(sources: MetricSources): Metrics {
  const registry = new Registry()
  for (const [name, help, read] of COUNTERS) addCounter(registry, name, help, () => read(sources.counters))
  for (const [name, help, read] of GAUGES) addGauge(registry, name, help, () => read(sources))
  const { logStore, node, topics } = sources
  for (const [name, help, read] of RETENTION_COUNTERS) addCounter(registry, name, help, () => read(topics.retention()))
  for (const [name, help, read] of SNAPSHOT_COUNTERS) addCounter(registry, name, help, () => read(node.snapshots()))
  for (const [name, help, read] of REPAIR_COUNTERS) addCounter(registry, name, help, () => read(node.repairs()))
  for (const [name, help, read] of SNAPSHOT_GAUGES) addGauge(registry, name, help, () => read(node.snapshots()))
  if (logStore !== undefined) {
    for (const [name, help, read] of DISK) addGauge(registry, name, help, () => read(logStore))
  }
  addGauge(registry, 'millrace_resident_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss())
  const loop = addLoopGauges(registry)
  return {
    contentType: registry.contentType,
    render: async () => (await registry.metrics()) + sources.counters.appendSeconds.render(),
    close: () => {
      loop.disable()
      registry.clear()
    },
  }
}

function addLoopGauges(registry: Registry): { disable(): void } {
  // Milliseconds. Each look wakes the process: a shorter time is seen in what an idle node takes.
  const delay = monitorEventLoopDelay({ resolution: 50 })
  delay.enable()
  let previous = performance.eventLoopUtilization()
  addGauge(
    registry,
    'millrace_loop_saturation',
    'Share of time that the event loop was busy since the last look.',
    () => {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, previous)
      previous = now
      return Number.isFinite(utilization) ? utilization : 0
    },
  )
  addGauge(
    registry,
    'millrace_loop_delay_seconds',
    '99th percentile of the event loop delay since the last look.',
    () => {
      const seconds = delay.percentile(99) / 1e9
      delay.reset()
      return Number.isFinite(seconds) ? seconds : 0
    },
  )
  return { disable: () => delay.disable() }
}

function addGauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read())
    },
  })
}

function addCounter(registry: Registry, name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset()
      this.inc(read())
    },
  })
}

function countRole(topics: Topics, leading: boolean): number {
  return topics.replicas().filter(replica => replica.handle.leading === leading).length
}

function damage({ topics }: MetricSources, count: (damage: GroupDamage) => number): number {
  return topics.replicas().reduce((sum, { handle }) => {
    const { damage } = handle.status()
    return damage === undefined ? sum : sum + count(damage)
  }, 0)
}

function countHalted(topics: Topics): number {
  return topics.replicas().filter(replica => replica.handle.status().halted !== undefined).length
}

function lag({ topics }: MetricSources, which: 'commit' | 'apply'): number {
  let worst = 0
  for (const { handle } of topics.replicas()) {
    const { lastIndex, commit, applied } = handle.status()
    worst = Math.max(worst, which === 'commit' ? lastIndex - commit : commit - applied)
  }
  return worst
}

function logBytes(topics: Topics): number {
  const sizes = topics.replicas().flatMap(({ handle }) => handle.log.segments().map(({ bytes }) => bytes))
  return sizes.reduce((sum, bytes) => sum + bytes, 0)
}
