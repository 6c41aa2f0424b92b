/** Where leader and follower of the benchmark's group spend their time while a row of the table is measured. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Probes } from '../profile/probes.ts'
import { type CpuProfile, selfTimes } from '../profile/self-times.ts'
import { functionTable, packageTable } from '../profile/tables.ts'

const INTERVAL_US = 500
const FUNCTIONS = 12

/** A process with a probe. */
export interface Profiled {
  readonly name: 'leader' | 'follower'
  readonly pid: number
}

export class NodeProfiles {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'millrace-profiles-'))
  readonly #probes: Probes = new Probes(this.folder)
  readonly #lines: string[] = []

  /** Processes that are started until the result is disposed of can be profiled. */
  install(): Disposable {
    return this.#probes.install()
  }

  async begin(profiled: readonly Profiled[]): Promise<void> {
    await Promise.all(profiled.map(({ pid }) => this.#probes.ask(pid, { type: 'start', intervalUs: INTERVAL_US })))
  }

  async end(title: string, profiled: readonly Profiled[], entries: number): Promise<void> {
    for (const { name, pid } of profiled) {
      const file = join(this.folder, `${title.replaceAll(/[^a-z0-9]+/gi, '-')}-${name}.cpuprofile`)
      await this.#probes.ask(pid, { type: 'stop', file })
      const times = selfTimes(JSON.parse(readFileSync(file, 'utf8')) as CpuProfile)
      const tables = [...packageTable(times, entries), '', ...functionTable(times, entries, FUNCTIONS)]
      this.#lines.push(`\n## ${title}, ${name}: ${file}`, ...tables)
    }
  }

  /** Of everything that was profiled; a record is an entry. */
  get text(): string {
    return this.#lines.map(line => `${line}\n`).join('')
  }
}
