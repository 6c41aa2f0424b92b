/** Runs tasks in order, a bounded number at a time. A task must handle its own failures. */
export class TaskQueue {
  readonly #runningMax: number
  readonly #waiting: (() => Promise<void>)[] = []
  readonly #running = new Set<Promise<void>>()

  constructor(runningMax: number) {
    this.#runningMax = runningMax
  }

  add(task: () => Promise<void>): void {
    this.#waiting.push(task)
    this.#fill()
  }

  /** Drops what waits; resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#waiting.length = 0
    await Promise.all(this.#running)
  }

  #fill(): void {
    while (this.#running.size < this.#runningMax) {
      const task = this.#waiting.shift()
      if (task === undefined) return
      const running: Promise<void> = task().finally(() => {
        this.#running.delete(running)
        this.#fill()
      })
      this.#running.add(running)
    }
  }
}
