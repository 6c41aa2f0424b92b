/** What `millrace log verify` shows: a live line while it reads, then damage, remarks and one line that sums up. */
import type { BesideCheck, Damage, Remark, VerifyReport } from '@millrace/log-store/offline'
import type { StateReport } from '@millrace/topics/offline'
import { formatBytes, formatCount } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { adviceFor } from './damage-advice.ts'

const PROGRESS_INTERVAL_MS = 100

interface FullReport extends Omit<VerifyReport, 'damage' | 'counts'> {
  readonly damage: readonly (Damage & { readonly advice: string })[]
  readonly counts: VerifyReport['counts'] & StateReport['counts']
}

/** @returns whether everything that was checked is whole */
export async function verifyAndReport(terminal: Terminal, dir: string, json: boolean): Promise<boolean> {
  let shownMs = 0
  const onProgress = (read: number, total: number): void => {
    const nowMs = performance.now()
    if (json || nowMs - shownMs < PROGRESS_INTERVAL_MS) return
    shownMs = nowMs
    const percent = total === 0 ? 100 : Math.floor((100 * read) / total)
    terminal.live(`verifying ${dir}: ${percent} %, ${formatBytes(read)} of ${formatBytes(total)}`)
  }
  try {
    const report = await verifyAll(dir, onProgress)
    terminal.live('')
    if (json) terminal.print(JSON.stringify({ folder: dir, whole: report.damage.length === 0, ...report }))
    else printReport(terminal, dir, report)
    return report.damage.length === 0
  } finally {
    terminal.live('')
  }
}

/** Everything that a node keeps in its data folder, in one report: the log, snapshots, and the checkpoints beside it. */
async function verifyAll(dir: string, onProgress: (read: number, total: number) => void): Promise<FullReport> {
  // Loaded only here: the other commands start without them.
  const { verifyDataFolder } = await import('@millrace/log-store/offline')
  const { STATE_FOLDER, verifyState } = await import('@millrace/topics/offline')
  const state = { checkpoints: 0, values: 0, valueBytes: 0 }
  const checkpoints: BesideCheck = {
    name: STATE_FOLDER,
    check(dataFolder, extents) {
      const found = verifyState(dataFolder, extents)
      Object.assign(state, found.counts)
      return found
    },
  }
  const report = await verifyDataFolder(dir, { onProgress, beside: [checkpoints] })
  const damage = report.damage.map(each => ({ ...each, advice: each.advice ?? adviceFor(each) }))
  return { ...report, damage, counts: { ...report.counts, ...state } }
}

function printReport(terminal: Terminal, dir: string, report: FullReport): void {
  const { damage, repaired, notes, notChecked, identity, cleanStop } = report
  for (const { file, position, what, advice } of damage) {
    terminal.print(`${terminal.paint('red', 'damaged')}      ${file}, byte ${position}: ${what}`)
    terminal.print(`             ${advice}`)
  }
  for (const { file, position, what } of repaired) terminal.print(`repaired     ${file}, byte ${position}: ${what}`)
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

function extent({ counts }: FullReport): string {
  const { groups, segments, bytes, rounds, frames, indexFiles, patches, voteSlots } = counts
  const log = `${formatCount(groups)} groups, ${formatCount(segments)} segments (${formatBytes(bytes)})`
  const inside = `${formatCount(rounds)} rounds, ${formatCount(frames)} entries`
  const { checkpoints, values, valueBytes, snapshots } = counts
  const state = `${formatCount(checkpoints)} checkpoints of ${formatCount(values)} values (${formatBytes(valueBytes)})`
  const repairs = patches === 0 ? '' : `${formatCount(patches)} patches, `
  const beside = `${repairs}${formatCount(indexFiles)} index files, ${formatCount(voteSlots)} votes`
  return `${log}, ${inside}, ${beside}, ${state}, ${formatCount(snapshots)} snapshots`
}
