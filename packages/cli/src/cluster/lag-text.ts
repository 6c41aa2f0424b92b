import { formatBytes, formatCount } from '../quantities.ts'
import type { PartitionSummary, SnapshotProgress } from './cluster-summary.ts'

/** Which replicas are behind and by how much: `node 3 by 1,234 (snapshot: 45 % of 3.1 MiB)`. */
export function lagText({ lag, snapshots }: Pick<PartitionSummary, 'lag' | 'snapshots'>): string {
  const behind = [...lag].filter(([, entries]) => entries > 0)
  if (behind.length === 0) return '-'
  return behind
    .map(([node, entries]) => {
      const distance = Number.isFinite(entries) ? `by ${formatCount(entries)}` : 'away'
      return `node ${node} ${distance}${snapshotText(snapshots.get(node))}`
    })
    .join(', ')
}

function snapshotText(snapshot: SnapshotProgress | undefined): string {
  if (snapshot === undefined) return ''
  const { bytes, bytesTotal } = snapshot
  const percent = bytesTotal === 0 ? 100 : Math.floor((100 * bytes) / bytesTotal)
  return ` (snapshot: ${percent} % of ${formatBytes(bytesTotal)})`
}
