/** What Linux says about processes: processor time and memory. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** USER_HZ, which is 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100

/** Milliseconds of processor time that the processes have used since their start; ended ones count as 0. */
export function cpuMsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0)
}

function cpuMs(pid: number): number {
  const text = read(`/proc/${pid}/stat`)
  // The second field is the name in brackets, in which anything may stand.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  return fields === undefined ? 0 : ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND
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
