/**
 * Files that groups hold open for writing between two rounds: at most `filesMax` of them beyond those in use, so that
 * descriptors do not grow with the number of groups. What was written is durable before a file rests: closing it early
 * loses nothing but the time of opening it again.
 */

/** Whoever has a file open that it does not need at the moment. */
export interface FileHolder {
  /** Closes it; it is opened again when it is needed. */
  closeResting(): Promise<void>
}

export class WriteFiles {
  readonly #filesMax: number
  readonly #onProblem: (error: Error) => void
  /** The one that has rested longest first. */
  readonly #resting = new Set<FileHolder>()

  constructor(filesMax: number, onProblem: (error: Error) => void) {
    this.#filesMax = filesMax
    this.#onProblem = onProblem
  }

  /** The holder's file is in use from now on, or gone. */
  take(holder: FileHolder): void {
    this.#resting.delete(holder)
  }

  /** The holder's file, which it had taken, is open and not in use. */
  rest(holder: FileHolder): void {
    this.#resting.add(holder)
    for (const oldest of this.#resting) {
      if (this.#resting.size <= this.#filesMax) return
      this.#resting.delete(oldest)
      oldest.closeResting().catch(this.#onProblem)
    }
  }
}
