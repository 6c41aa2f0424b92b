/** What the backup commands show: progress while they work, then what there is. */
import type { BackupManifest, BackupReport } from '@millrace/broker'
import { formatBytes, formatCount } from '../quantities.ts'
import { tableLines } from '../terminal/table.ts'
import type { Terminal } from '../terminal/terminal.ts'

const LIVE_INTERVAL_MS = 100
const NOTE_INTERVAL_MS = 5_000

/** A line that changes in place on a terminal, and one on stderr now and then elsewhere. */
export class ProgressLine {
  readonly #terminal: Terminal
  #shownMs = performance.now()

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  show(line: string): void {
    const nowMs = performance.now()
    const { interactive } = this.#terminal
    if (nowMs - this.#shownMs < (interactive ? LIVE_INTERVAL_MS : NOTE_INTERVAL_MS)) return
    this.#shownMs = nowMs
    if (interactive) this.#terminal.live(line)
    else this.#terminal.note(line)
  }

  end(): void {
    this.#terminal.live('')
  }
}

/** How much there is, in one line. */
export function extentOf({ groups }: BackupManifest): string {
  const partitions = groups.filter(({ topic }) => topic !== '')
  const topics = new Set(partitions.map(({ topic }) => topic)).size
  const records = partitions.reduce((sum, { frames }) => sum + frames.records, 0)
  const bytes = groups.reduce((sum, { frames, state }) => sum + frames.bytes + state.bytes, 0)
  const of = `${formatCount(partitions.length)} partitions of ${formatCount(topics)} topics`
  return `${of}, ${formatCount(records)} records, ${formatBytes(bytes)}`
}

/** The point of every group: where the backup ends. */
export function pointLines({ groups }: BackupManifest): string[] {
  const right = 'right' as const
  return tableLines(
    [
      { title: 'partition' },
      { title: 'records', align: right },
      { title: 'offsets' },
      { title: 'up to entry', align: right },
      { title: 'newest entry' },
    ],
    groups.map(({ topic, partition, base, point, frames }) => [
      topic === '' ? '(catalogue)' : `${topic}/${partition}`,
      topic === '' ? '' : formatCount(frames.records),
      topic === '' ? '' : `${base.nextOffset} to ${point.nextOffset - 1}`,
      String(point.index),
      point.timestamp === 0 ? '-' : new Date(point.timestamp).toISOString(),
    ]),
  )
}

export function printReport(terminal: Terminal, dir: string, { manifest, damage, others }: BackupReport): void {
  for (const { file, what } of damage) terminal.print(`${terminal.paint('red', 'damaged')}      ${file}: ${what}`)
  for (const file of others) terminal.print(`not checked  ${file}: no part of the backup`)
  if (manifest !== undefined) {
    for (const line of pointLines(manifest)) terminal.print(line)
    const of = `of cluster ${manifest.clusterId}, begun ${manifest.startedAt}`
    terminal.print(`${dir}: ${of}; ${extentOf(manifest)}`)
    for (const topic of manifest.leftOut) terminal.print(`without topic ${topic}, which was not asked for`)
  }
  const places = damage.length === 1 ? '1 place is damaged' : `${formatCount(damage.length)} places are damaged`
  const advice = 'use another backup; what is whole in this one is not restored without the rest'
  terminal.print(
    damage.length === 0 ? terminal.paint('green', 'whole') : terminal.paint(['bold', 'red'], `${places}: ${advice}`),
  )
}
