/**
 * Shares the disk: at most `slots` flushes run at a time on a node. A freed slot takes whoever has waited longest, with
 * everything that gathered meanwhile, so the running flush is the linger and there is no timer.
 *
 * Invariant: a task is in at most one of waiting, running and paused, once. The first turn starts in a microtask, so
 * that all that a caller hands over in one go joins it.
 */
export interface FlushTask {
  /** Does what has gathered. Must not reject: failures go to whoever owns the task. */
  flush(): Promise<void>
  /** Whether there is (still) something to do; asked after each flush. */
  readonly dirty: boolean
}

interface Turn {
  readonly task: FlushTask
  readonly start: () => void
}

export class FlushScheduler {
  readonly #waiting: Turn[] = []
  readonly #known = new Set<FlushTask>()
  readonly #running = new Map<FlushTask, number>()
  readonly #slots: number
  readonly #nowMs: () => number
  #pumpQueued = false

  constructor(slots: number, nowMs: () => number) {
    this.#slots = slots
    this.#nowMs = nowMs
  }

  /** Asks for a flush. `first`: before all that wait (votes: elections depend on them). Quiet when already asked. */
  request(task: FlushTask, first = false): void {
    if (this.#known.has(task)) return
    this.#known.add(task)
    const turn = { task, start: () => void task.flush().finally(() => this.#finished(task)) }
    if (first) this.#waiting.unshift(turn)
    else this.#waiting.push(turn)
    this.#queuePump()
  }

  /**
   * Gives the slot of a running task to others until `wait` is over and a slot is free again. A task that writes without a
   * slot, as while a store is opened, gets none: nobody would give it back.
   */
  async pause(task: FlushTask, wait: Promise<void>): Promise<void> {
    const hadSlot = this.#running.delete(task)
    if (hadSlot) this.#queuePump()
    await wait
    if (!hadSlot) return
    await new Promise<void>(start => {
      this.#waiting.push({ task, start })
      this.#queuePump()
    })
  }

  /** Milliseconds since the oldest running flush started; 0 when none runs. */
  stuckMs(): number {
    const [oldest] = this.#running.values()
    return oldest === undefined ? 0 : this.#nowMs() - oldest
  }

  #queuePump(): void {
    if (this.#pumpQueued) return
    this.#pumpQueued = true
    queueMicrotask(() => this.#pump())
  }

  #pump(): void {
    this.#pumpQueued = false
    while (this.#running.size < this.#slots) {
      const turn = this.#waiting.shift()
      if (turn === undefined) return
      this.#running.set(turn.task, this.#nowMs())
      turn.start()
    }
  }

  #finished(task: FlushTask): void {
    this.#running.delete(task)
    this.#known.delete(task)
    if (task.dirty) this.request(task)
    this.#pump()
  }
}
