/**
 * The line that follows a running cluster: nodes, leaders, records a second, disk. On a terminal it is replaced in
 * place; elsewhere a line is printed when nodes or leaders change.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ClusterSummary, leadersPerNode } from '../cluster/cluster-summary.ts'
import { formatBytes, formatCount } from '../quantities.ts'
import { fit } from '../terminal/fit.ts'
import type { Terminal } from '../terminal/terminal.ts'

const INTERVAL_MS = 1000

/** Shows the cluster until the signal. */
export async function followCluster(
  terminal: Terminal,
  summary: () => Promise<ClusterSummary>,
  signal: AbortSignal,
): Promise<void> {
  let before: { readonly records: number; readonly at: number } | undefined
  let shown = ''
  while (!signal.aborted) {
    const now = await summary()
    const at = performance.now()
    const rate = before === undefined ? 0 : Math.max(0, ((now.records - before.records) * 1000) / (at - before.at))
    const state = stateText(now)
    if (terminal.interactive) terminal.live(fit(`${state} · ${trafficText(now, rate)}`, terminal.columns))
    else if (state !== shown && !signal.aborted) terminal.print(`${state} · ${trafficText(now, rate)}`)
    shown = state
    if (now.nodes.some(node => node.status !== undefined)) before = { records: now.records, at }
    await sleep(INTERVAL_MS, undefined, { signal }).catch(() => undefined)
  }
  terminal.live('')
}

/** Nodes up and the partitions that each leads: `nodes 3/3 · leaders 1:1 2:1 3:1`. */
export function stateText(summary: ClusterSummary): string {
  const up = summary.nodes.filter(node => node.status !== undefined).length
  const leaders = [...leadersPerNode(summary)].map(([node, count]) => `${node}:${count}`).join(' ')
  const without = summary.partitions.filter(partition => partition.leader === 0).length
  const missing = without === 0 ? '' : ` · ${without} without a leader`
  return `nodes ${up}/${summary.nodes.length} · leaders ${leaders}${missing}`
}

/** `1,200 records · 350/s · disk 1.2 MiB, 80 GiB free` */
export function trafficText({ records, usedBytes, freeBytes }: ClusterSummary, rate: number): string {
  const disk = `disk ${formatBytes(usedBytes)}, ${formatBytes(freeBytes)} free`
  return `${formatCount(records)} records · ${formatCount(Math.round(rate))}/s · ${disk}`
}
