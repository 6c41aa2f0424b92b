/**
 * What happens when the disk says no. Lack of space is waited out; everything else on the way to durability is fatal,
 * told once, and from then on nothing is acknowledged any more.
 *
 * A failed fdatasync is never repeated: the kernel may have dropped the pages and call the next one a success.
 */
import type { Clock } from './clock.ts'
import { errnoOf } from './disk.ts'
import type { FlushScheduler, FlushTask } from './flush-scheduler.ts'
import { LogError } from './log-store.ts'
import type { SpaceWatch } from './space-watch.ts'

const BACKOFF_MIN_MS = 50
const BACKOFF_MAX_MS = 1_000

export interface SyncStats {
  fsyncs: number
  fsyncMsTotal: number
}

export class StorageFaults {
  readonly syncStats: SyncStats = { fsyncs: 0, fsyncMsTotal: 0 }
  readonly #clock: Clock
  readonly #scheduler: FlushScheduler
  readonly #space: SpaceWatch
  readonly #onFatal: (error: LogError) => void
  readonly #onProblem: (error: Error) => void
  readonly #halt: { readonly promise: Promise<void>; readonly resolve: () => void } = Promise.withResolvers<void>()
  #error: LogError | null = null
  #halted = false
  #patient = true

  constructor(
    clock: Clock,
    scheduler: FlushScheduler,
    space: SpaceWatch,
    onFatal: (error: LogError) => void,
    onProblem: (error: Error) => void,
  ) {
    this.#clock = clock
    this.#scheduler = scheduler
    this.#space = space
    this.#onFatal = onFatal
    this.#onProblem = onProblem
  }

  /** Whether nothing may be acknowledged any more. */
  get halted(): boolean {
    return this.#halted
  }

  /** Whether there is more space than what is kept for those who need it most. */
  get hasReserve(): boolean {
    return this.#space.acceptsAppends
  }

  /** From now on a write that lacks space is given up instead of waited for. */
  stopWaiting(): void {
    this.#patient = false
  }

  /** Reports the first fatal error; later ones follow from it. */
  raise(error: LogError): void {
    if (this.#halted) return
    this.#error = error
    this.#stop()
    this.#onFatal(error)
  }

  /** Waits for `work`, which may depend on writes that are never answered after a fatal error. */
  async orHalted(work: Promise<unknown>): Promise<void> {
    await Promise.race([work, this.#halt.promise])
  }

  /** The result of `work`. @throws the fatal error, where that comes first */
  async unlessHalted<T>(work: Promise<T>): Promise<T> {
    const halted = this.#halt.promise.then(() => {
      throw this.#error ?? new LogError('CLOSED', 'the log store is closed; it gave up waiting for space')
    })
    return Promise.race([work, halted])
  }

  /**
   * Runs `write` until it succeeds or fails for another reason than space; gives the task's slot away while it waits.
   * `write` must be repeatable.
   *
   * @returns whether it succeeded; where not, the store is halted or about to close
   */
  async untilThereIsSpace(task: FlushTask, path: string, write: () => Promise<void>): Promise<boolean> {
    return this.#repeat(task, path, write, failedWrite)
  }

  /**
   * The same for a write that is durable once it succeeds. One that lacked space is repeated as a whole, never its sync
   * alone: the second write makes pages that the kernel has given up part of the next sync again.
   */
  async writeThrough(task: FlushTask, path: string, write: () => Promise<void>): Promise<boolean> {
    let started = 0
    const timed = (): Promise<void> => {
      started = this.#clock.monotonicMs()
      return write()
    }
    if (!(await this.#repeat(task, path, timed, failedWriteThrough))) return false
    this.syncStats.fsyncs++
    this.syncStats.fsyncMsTotal += this.#clock.monotonicMs() - started
    return !this.#halted
  }

  async #repeat(
    task: FlushTask,
    path: string,
    write: () => Promise<void>,
    failed: (path: string, error: Error) => LogError,
  ): Promise<boolean> {
    let gotSpace: (() => void) | undefined
    for (let waitMs = BACKOFF_MIN_MS; ; waitMs = Math.min(waitMs * 2, BACKOFF_MAX_MS)) {
      if (this.#halted) {
        gotSpace?.()
        return false
      }
      const error = await failureOf(write)
      if (error === null || errnoOf(error) !== 'ENOSPC' || !this.#patient) {
        gotSpace?.()
        if (error === null) return true
        if (errnoOf(error) === 'ENOSPC') this.#stop()
        else this.raise(failed(path, error))
        return false
      }
      if (gotSpace === undefined) {
        gotSpace = this.#space.noteFull()
        this.#onProblem(
          new LogError('IO', `the disk is full: ${path} waits for space. Free some; nothing else is needed`, error),
        )
      }
      // A process that starts on a full disk has nothing else yet that keeps it running.
      await this.#scheduler.pause(task, new Promise(resolve => void this.#clock.after(waitMs, resolve, true)))
    }
  }

  #stop(): void {
    this.#halted = true
    this.#halt.resolve()
  }

  /** Runs an fdatasync or fsync once. @returns whether it succeeded; where not, the store is halted */
  async sync(path: string, datasync: () => Promise<void>): Promise<boolean> {
    if (this.#halted) return false
    const started = this.#clock.monotonicMs()
    const error = await failureOf(datasync)
    if (error !== null) {
      this.raise(failedSync(path, error))
      return false
    }
    this.syncStats.fsyncs++
    this.syncStats.fsyncMsTotal += this.#clock.monotonicMs() - started
    return !this.halted
  }
}

async function failureOf(run: () => Promise<void>): Promise<Error | null> {
  try {
    await run()
    return null
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function failedWrite(path: string, cause: Error): LogError {
  return new LogError(
    'IO',
    `writing ${path} failed (${cause.message}). What was not acknowledged before this may or may not be stored; nothing is acknowledged any more. Check the disk, then start again`,
    cause,
  )
}

function failedSync(path: string, cause: Error): LogError {
  return new LogError(
    'IO',
    `fdatasync of ${path} failed (${cause.message}). Everything acknowledged before is durable; what was being written may be lost although it can still be read. It is not tried again: check the disk, then start again`,
    cause,
  )
}

function failedWriteThrough(path: string, cause: Error): LogError {
  return new LogError(
    'IO',
    `writing through to ${path} failed (${cause.message}). Everything acknowledged before is durable; what was being written may be lost although it can still be read. It is not tried again: check the disk, then start again`,
    cause,
  )
}
