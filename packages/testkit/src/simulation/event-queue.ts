/**
 * Simulated time: a heap of what is going to happen, in order of time and, at the same time, of scheduling. Nothing else
 * moves the clock. Times are integers in microseconds.
 */

interface Scheduled {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class EventQueue {
  /** The present, in microseconds since the start of the run. */
  nowUs = 0
  /** How many events have run. */
  executed = 0
  #scheduled = 0
  readonly #heap: Scheduled[] = []

  get size(): number {
    return this.#heap.length
  }

  /** Runs `run` after a delay in microseconds ≥ 0. */
  after(delayUs: number, run: () => void): void {
    this.at(this.nowUs + delayUs, run)
  }

  /** Runs `run` at a time; one that has passed means now. */
  at(timeUs: number, run: () => void): void {
    this.#scheduled++
    this.#push({ at: Math.max(this.nowUs, timeUs), order: this.#scheduled, run })
  }

  /**
   * Runs the next event.
   *
   * @returns false when there is none before `limitUs`; the clock then stands at `limitUs`
   */
  runNext(limitUs: number): boolean {
    const next = this.#heap[0]
    if (next === undefined || next.at > limitUs) {
      this.nowUs = Math.max(this.nowUs, limitUs)
      return false
    }
    this.#pop()
    this.nowUs = next.at
    this.executed++
    next.run()
    return true
  }

  #push(event: Scheduled): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Scheduled
      if (!before(event, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Scheduled
    const size = heap.length
    if (size === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && before(heap[child + 1] as Scheduled, heap[child] as Scheduled)) child++
      if (!before(heap[child] as Scheduled, last)) break
      heap[at] = heap[child] as Scheduled
      at = child
    }
    heap[at] = last
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
