/**
 * The log of a replica as the layers above read it: where a read runs into damage it waits for the repair, for an election
 * timeout, and only then fails. Everything else is the log itself.
 */
import {
  type BaseRecord,
  type GroupLog,
  type Hole,
  LogDamaged,
  type LogPosition,
  type LogWrite,
} from '@millrace/log-store'
import type { Frame } from '@millrace/record'
import type { HoleRepair } from './hole-repair.ts'

/** Of one read. */
const ATTEMPTS_MAX = 16

export class RepairedLog implements GroupLog {
  readonly #log: GroupLog
  readonly #repair: Pick<HoleRepair, 'whenReadable'>

  constructor(log: GroupLog, repair: Pick<HoleRepair, 'whenReadable'>) {
    this.#log = log
    this.#repair = repair
  }

  get group(): number {
    return this.#log.group
  }

  get recovered(): GroupLog['recovered'] {
    return this.#log.recovered
  }

  get base(): BaseRecord {
    return this.#log.base
  }

  get end(): LogPosition {
    return this.#log.end
  }

  get durable(): LogPosition {
    return this.#log.durable
  }

  get pendingBytes(): number {
    return this.#log.pendingBytes
  }

  get holes(): readonly Hole[] {
    return this.#log.holes
  }

  segments(): ReturnType<GroupLog['segments']> {
    return this.#log.segments()
  }

  limitSegmentAge(ageMs: number): void {
    this.#log.limitSegmentAge(ageMs)
  }

  write(write: LogWrite, done: () => void): void {
    this.#log.write(write, done)
  }

  readCached(from: number, to: number, bytesMax: number): readonly Frame[] | null {
    return this.#log.readCached(from, to, bytesMax)
  }

  read(from: number, to: number, bytesMax: number): Promise<readonly Frame[]> {
    return this.#repaired(() => this.#log.read(from, to, bytesMax))
  }

  indexOfOffset(offset: number): Promise<number> {
    return this.#repaired(() => this.#log.indexOfOffset(offset))
  }

  offsetAtTime(timestamp: number): Promise<number> {
    return this.#repaired(() => this.#log.offsetAtTime(timestamp))
  }

  trimPrefix(base: BaseRecord): Promise<void> {
    return this.#repaired(() => this.#log.trimPrefix(base))
  }

  reset(base: BaseRecord): Promise<void> {
    return this.#log.reset(base)
  }

  patch(frames: readonly Frame[], upTo?: LogPosition): Promise<boolean> {
    return this.#log.patch(frames, upTo)
  }

  /** Tries again as long as repairs make a difference: there may be another hole where the next attempt leads. */
  async #repaired<T>(run: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run()
      } catch (error) {
        if (!(error instanceof LogDamaged) || attempt === ATTEMPTS_MAX) throw error
        if (!(await this.#repair.whenReadable(error.hole.last.index))) throw error
      }
    }
  }
}
