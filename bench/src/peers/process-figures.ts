/** What Linux says about processes: processor time and memory. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** USER_HZ, which is 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100

/** Milliseconds of processor time that the processes have used since their start; ended ones count as 0. */
export function cpuMsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0)
}

function cpuMs(pid: number): number {
  const stat = statOf(`/proc/${pid}/stat`)
  return stat === undefined ? 0 : stat.userMs + stat.systemMs
}

/** Milliseconds of processor time of the processes that this one has started and that have ended. */
export function cpuMsOfEndedChildren(): number {
  return statOf('/proc/self/stat')?.endedChildrenMs ?? 0
}

/** Milliseconds of processor time of threads that have one name. */
export interface ThreadCpu {
  readonly userMs: number
  readonly systemMs: number
}

/** What the threads of a process have used since their start, by their names; threads that have ended are not in it. */
export function cpuOfThreads(pid: number): Map<string, ThreadCpu> {
  const sums = new Map<string, ThreadCpu>()
  for (const thread of existsSync(`/proc/${pid}/task`) ? readdirSync(`/proc/${pid}/task`) : []) {
    const stat = statOf(`/proc/${pid}/task/${thread}/stat`)
    if (stat === undefined) continue
    const sum = sums.get(stat.name) ?? { userMs: 0, systemMs: 0 }
    sums.set(stat.name, { userMs: sum.userMs + stat.userMs, systemMs: sum.systemMs + stat.systemMs })
  }
  return sums
}

interface Stat extends ThreadCpu {
  readonly name: string
  readonly endedChildrenMs: number
}

function statOf(file: string): Stat | undefined {
  const text = read(file)
  if (text === undefined) return undefined
  // The second field is the name in brackets, in which anything may stand.
  const nameEnd = text.lastIndexOf(')')
  const fields = text.slice(nameEnd + 2).split(' ')
  const ms = (field: number): number => (Number(fields[field]) * 1_000) / TICKS_PER_SECOND
  const name = text.slice(text.indexOf('(') + 1, nameEnd)
  return { name, userMs: ms(11), systemMs: ms(12), endedChildrenMs: ms(13) + ms(14) }
}

/** The most memory the process has had since its start or `forgetPeaks`, in bytes. */
export function peakRssBytes(pid: number): number | undefined {
  const kib = /^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1]
  return kib === undefined ? undefined : Number(kib) * 1_024
}

/** Lets peaks begin anew from what the processes have now. */
export function forgetPeaks(pids: readonly number[]): void {
  for (const pid of pids) if (existsSync(`/proc/${pid}/clear_refs`)) writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** A clock that all processes of this machine share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}
