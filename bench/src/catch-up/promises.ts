/** What a run has to keep: printed as it is looked at, and counted where it does not hold. */

export class Promises {
  #broken = 0

  /** How many did not hold. */
  get broken(): number {
    return this.#broken
  }

  /** `figures`: what was seen, whether it holds or not. */
  expect(promise: string, holds: boolean, figures: string): void {
    if (!holds) this.#broken += 1
    process.stdout.write(`  ${holds ? 'kept  ' : 'BROKEN'}  ${promise}: ${figures}\n`)
  }
}

/** What a node may take beside its state, however long its logs are. */
export const MEMORY_BYTES_MAX: number = 768 * 1024 * 1024

/**
 * Of the nodes in place of their default: a disk that stands still for seconds, as on a machine that others use too, is not
 * to move the leadership, whose snapshots and appends are looked at. It delays no election here: those are on evidence.
 */
export const ELECTION_TIMEOUT_MIN_MS = 10_000

const MIB = 1024 * 1024

/** 268435456 → "256.0 MiB" */
export function mebibytes(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`
}

/** Prints a figure that is nobody's promise. */
export function figure(what: string, value: string): void {
  process.stdout.write(`  ${what.padEnd(44)}${value}\n`)
}
