/** Profiles as text: what one process did with its time, in all and for each record. */
import type { ThreadCpu } from '../peers/process-figures.ts'
import { IDLE, type SelfTimes, type Spent } from './self-times.ts'

const PACKAGES = 12
/** Shares of less are not worth a line. */
const SHARE_MIN = 0.001
const NO_TIME = { selfUs: 0, totalUs: 0 }
/** Of the busy time: below this the machine was too busy for its µs. */
const HAD_PROCESSOR_MIN = 0.8

/** Processor time by thread: a profile sees the main one alone. `MainThread 4.1 s (user 3.2, system 0.9) · …` */
export function threadsText(threads: ReadonlyMap<string, ThreadCpu>, ms: number): string {
  const used = [...threads].map(([name, { userMs, systemMs }]) => ({ name, userMs, systemMs, ms: userMs + systemMs }))
  return used
    .filter(thread => thread.ms > 0)
    .toSorted((a, b) => b.ms - a.ms)
    .map(({ name, userMs, systemMs, ms: sum }) => {
      const share = `${((100 * sum) / ms).toFixed(0)} % of a core`
      return `${name} ${seconds(sum)} s, ${share} (user ${seconds(userMs)}, system ${seconds(systemMs)})`
    })
    .join(' · ')
}

/**
 * How busy the main thread was, and for how much of that it had a processor. What it lacks is in the self times of whatever
 * it was about to do: on a machine that is busy with other things they are too long, and their shares still hold.
 */
export function busyText({ us, busyUs }: SelfTimes, main: ThreadCpu | undefined): string {
  const cpuUs = main === undefined ? Number.NaN : (main.userMs + main.systemMs) * 1_000
  const lacking = cpuUs < busyUs * HAD_PROCESSOR_MIN ? ': it had to wait for one, so the µs below are too many' : ''
  return `main thread: busy ${percent(busyUs, us)} % of the time, ${percent(cpuUs, us)} % with a processor${lacking}`
}

/** Self time by package, in one line each. */
export function packageTable({ packages, us }: SelfTimes, records: number): string[] {
  const shown = packages.filter(({ selfUs }) => selfUs >= us * SHARE_MIN).slice(0, PACKAGES)
  const head = row('self %', 'µs/record', 'package')
  return [head, ...shown.map(({ name, selfUs }) => row(percent(selfUs, us), perRecord(selfUs, records), name))]
}

/** The functions with the most self time; what waits for events is the last line, however long it waited. */
export function functionTable({ functions, us }: SelfTimes, records: number, rows: number): string[] {
  const busy = functions.filter(spent => spent.name !== IDLE)
  const idle = functions.filter(spent => spent.name === IDLE)
  const line = (spent: Spent): string =>
    row(
      percent(spent.selfUs, us),
      perRecord(spent.selfUs, records),
      `${percent(spent.totalUs, us).padStart(7)}  ${spent.name}  ${placeText(spent)}`,
    )
  const rest = busy.slice(rows)
  const restUs = rest.reduce((sum, { selfUs }) => sum + selfUs, 0)
  const others = row(percent(restUs, us), perRecord(restUs, records), `${''.padStart(7)}  ${rest.length} others`)
  return [
    row('self %', 'µs/record', `${'total %'.padStart(7)}  function`),
    ...busy.slice(0, rows).map(line),
    ...(rest.length === 0 ? [] : [others]),
    ...idle.map(line),
  ]
}

function placeText({ package: name, file, line, caller }: Spent): string {
  if (file !== '') return `${name} ${file}:${line}`
  return caller === undefined || caller.name === '(root)'
    ? ''
    : `from ${caller.name}  ${placeText({ ...caller, ...NO_TIME })}`
}

function row(share: string, each: string, what: string): string {
  return `${share.padStart(8)}  ${each.padStart(10)}  ${what}`.trimEnd()
}

function percent(us: number, of: number): string {
  return ((100 * us) / of).toFixed(1)
}

function perRecord(us: number, records: number): string {
  return (us / records).toFixed(3)
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(2)
}
