/** What one measurement took: time, and processor time of the servers, of this process, and of servers that should be idle. */

import type { Faults } from '@millrace/cli/bench'
import type { ProgramFigures } from './client.ts'
import type { Measured, Metered } from './orders.ts'
import { cpuMsOf } from './process-figures.ts'

/** Time and processor time from its making until `figures`. */
export class Meter {
  readonly #metered: Metered
  readonly #startedMs = performance.now()
  readonly #cpu = process.cpuUsage()
  readonly #serversMs: number
  readonly #othersMs: number

  constructor(metered: Metered) {
    this.#metered = metered
    this.#serversMs = cpuMsOf(metered.servers)
    this.#othersMs = cpuMsOf(metered.others)
  }

  /** @param program that did the work: its time is what was measured, and its processor time is the client's too */
  figures(program?: ProgramFigures): Required<Pick<Measured, 'ms' | 'serverCpuMs' | 'clientCpuMs' | 'othersCores'>> {
    const ms = performance.now() - this.#startedMs
    const { user, system } = process.cpuUsage(this.#cpu)
    return {
      ms: program?.ms ?? ms,
      serverCpuMs: cpuMsOf(this.#metered.servers) - this.#serversMs,
      clientCpuMs: (user + system) / 1_000 + (program?.cpuMs ?? 0),
      othersCores: (cpuMsOf(this.#metered.others) - this.#othersMs) / ms,
    }
  }
}

/**
 * Measures a read from its first record to its last: joining a group takes some systems seconds, and is another question.
 */
export class ReadTurn {
  readonly #metered: Metered
  #records = 0
  #meter: Meter | undefined
  #figures: ReturnType<Meter['figures']> | undefined

  constructor(metered: Metered) {
    this.#metered = metered
  }

  seen(): void {
    if (this.#meter === undefined) this.#meter = new Meter(this.#metered)
    else this.#records++
  }

  end(): void {
    this.#figures ??= this.#meter?.figures()
  }

  figures(): Pick<Measured, 'records' | 'ms' | 'serverCpuMs' | 'clientCpuMs' | 'othersCores'> {
    this.end()
    if (this.#figures === undefined) throw new Error('not one record was read')
    return { records: this.#records, ...this.#figures }
  }
}

/** Two turns of the same kind as if they were one. */
export function together(one: Measured, other: Measured): Measured {
  const faults = Object.keys(one.faults) as (keyof Faults)[]
  return {
    records: one.records + other.records,
    recordBytes: one.recordBytes,
    ms: one.ms + other.ms,
    serverCpuMs: (one.serverCpuMs ?? 0) + (other.serverCpuMs ?? 0),
    clientCpuMs: (one.clientCpuMs ?? 0) + (other.clientCpuMs ?? 0),
    refused: one.refused + other.refused,
    faults: Object.fromEntries(faults.map(name => [name, one.faults[name] + other.faults[name]])) as unknown as Faults,
  }
}
