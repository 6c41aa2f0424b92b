/** What `millrace log verify` shows: a live line while it reads, then damage, remarks and one line that sums up. */
import type { Remark, VerifyReport } from '@millrace/log-store/offline'
import { formatBytes, formatCount } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'

const PROGRESS_INTERVAL_MS = 100

/** What lies beside the log in a data folder and is not of this command. */
const OTHERS: Readonly<Record<string, string>> = {
  state: 'LMDB files; they hold nothing that cannot be made again from the log and other replicas',
}

/** @returns whether everything that was checked is whole */
export async function verifyAndReport(terminal: Terminal, dir: string, json: boolean): Promise<boolean> {
  // Loaded only here: the other commands start without it.
  const { verifyDataFolder } = await import('@millrace/log-store/offline')
  let shownMs = 0
  const onProgress = (read: number, total: number): void => {
    const nowMs = performance.now()
    if (json || nowMs - shownMs < PROGRESS_INTERVAL_MS) return
    shownMs = nowMs
    const percent = total === 0 ? 100 : Math.floor((100 * read) / total)
    terminal.live(`verifying ${dir}: ${percent} %, ${formatBytes(read)} of ${formatBytes(total)}`)
  }
  try {
    const report = withReasons(await verifyDataFolder(dir, { onProgress }))
    terminal.live('')
    if (json) terminal.print(JSON.stringify({ folder: dir, whole: report.damage.length === 0, ...report }))
    else printReport(terminal, dir, report)
    return report.damage.length === 0
  } finally {
    terminal.live('')
  }
}

function withReasons(report: VerifyReport): VerifyReport {
  const notChecked = report.notChecked.map(({ file, what }) => ({ file, what: OTHERS[file] ?? what }))
  return { ...report, notChecked }
}

function printReport(terminal: Terminal, dir: string, report: VerifyReport): void {
  const { damage, notes, notChecked, identity, cleanStop } = report
  for (const { file, position, what } of damage)
    terminal.print(`${terminal.paint('red', 'damaged')}      ${file}, byte ${position}: ${what}`)
  for (const line of remarks('note', notes)) terminal.print(line)
  for (const line of remarks('not checked', notChecked)) terminal.print(line)
  const whose = identity === null ? 'unknown node' : `node ${identity.nodeId} of cluster ${identity.clusterId}`
  terminal.print(`${dir}: ${whose}, ${cleanStop ? 'stopped in order' : 'not stopped in order'}; ${extent(report)}`)
  const places = damage.length === 1 ? '1 place is damaged' : `${formatCount(damage.length)} places are damaged`
  terminal.print(damage.length === 0 ? terminal.paint('green', 'whole') : terminal.paint(['bold', 'red'], places))
}

function remarks(title: string, list: readonly Remark[]): string[] {
  return list.map(({ file, what }) => `${title.padEnd(12)} ${file}: ${what}`)
}

function extent({ counts }: VerifyReport): string {
  const { groups, segments, bytes, rounds, frames, indexFiles, voteSlots } = counts
  const log = `${formatCount(groups)} groups, ${formatCount(segments)} segments (${formatBytes(bytes)})`
  const inside = `${formatCount(rounds)} rounds, ${formatCount(frames)} entries`
  return `${log}, ${inside}, ${formatCount(indexFiles)} index files, ${formatCount(voteSlots)} votes`
}
