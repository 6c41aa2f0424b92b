/** A seeded defect: what it is, and the edits that make it. */

export interface Edit {
  /** `simulation/…` is in packages/testkit/src/simulation, all else in the `src` folder of the package that it names. */
  readonly file: `${'raft-core' | 'log-store' | 'raft-node' | 'simulation'}/${string}`
  /** The text to be replaced; it must occur exactly once. */
  readonly from: string
  readonly to: string
}

export interface Mutant {
  readonly name: string
  /** What goes wrong, in a sentence. */
  readonly says: string
  readonly edits: readonly Edit[]
  /** Looked for in the host of a node instead of the simulator's own. */
  readonly hosted?: boolean
  /** Seeds within which it must be found. Default {@link SEEDS}. */
  readonly seeds?: number
}

export const SEEDS = 300
