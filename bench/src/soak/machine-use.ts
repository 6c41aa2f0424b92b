/** How much of the machine some processes take, and how much others do: who is slow may only have had to wait. */
import { cpus } from 'node:os'
import { cpuMsOf, monotonicMs } from '../peers/process-figures.ts'

export class MachineUse {
  readonly #names: readonly string[]
  readonly #pids: readonly number[]
  readonly #startedMs = monotonicMs()
  readonly #usedMs: readonly number[]
  readonly #busyMs = busyMs()

  /** Counts from now on. Processes by name; this one counts as one of them where it is named. */
  constructor(processes: Readonly<Record<string, number>>) {
    this.#names = Object.keys(processes)
    this.#pids = Object.values(processes)
    this.#usedMs = this.#pids.map(pid => cpuMsOf([pid]))
  }

  /** `node 1 0.61, node 2 0.40, client 0.31, others 0.10 of 2 cores` */
  describe(): string {
    const ms = monotonicMs() - this.#startedMs
    const used = this.#pids.map((pid, at) => cpuMsOf([pid]) - this.#usedMs[at]!)
    const others = busyMs() - this.#busyMs - used.reduce((sum, each) => sum + each, 0)
    const shares = [...used, Math.max(0, others)].map((each, at) => {
      return `${this.#names[at] ?? 'others'} ${(each / ms).toFixed(2)}`
    })
    return `${shares.join(', ')} of ${cpus().length} cores`
  }
}

/** Of all processors together, since the machine was started. */
function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
}
