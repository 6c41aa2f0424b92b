/** A seeded defect: what it is, and the edits that make it. */

export interface Edit {
  /** `core/…` is in packages/raft-core/src, `simulation/…` in packages/testkit/src/simulation. */
  readonly file: `core/${string}` | `simulation/${string}`
  /** The text to be replaced; it must occur exactly once. */
  readonly from: string
  readonly to: string
}

export interface Mutant {
  readonly name: string
  /** What goes wrong, in a sentence. */
  readonly says: string
  readonly edits: readonly Edit[]
  /** Seeds within which it must be found. Default {@link SEEDS}. */
  readonly seeds?: number
}

export const SEEDS = 300
