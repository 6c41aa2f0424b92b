/** When snapshots are taken, what of the log stays behind them, and how fast they travel. */

export interface SnapshotOptions {
  /** Entries applied since the last snapshot of a group that call for another one. Default 100,000. */
  readonly snapshotEntries?: number
  /** Bytes of frames applied since the last snapshot of a group that call for another one. Default 64 MiB. */
  readonly snapshotBytes?: number
  /** Entries before a snapshot that stay in the log, for followers that are a little behind. Default 10,000. */
  readonly trailingEntriesMax?: number
  /** Content in one chunk of a transfer, in bytes. Default 256 KiB, at most 8 MiB. */
  readonly snapshotChunkBytes?: number
  /** Content sent to all peers together. Default 64 MiB per second. */
  readonly snapshotBytesPerSecondMax?: number
  /** Transfers to all peers together; to one peer there is one at a time. Others wait. Default 4. */
  readonly snapshotSendsMax?: number
  /**
   * How long after a transfer the log keeps what its receiver still needs of it; as long again whenever that has come nearer
   * to where the log is to begin. Default 60 s.
   */
  readonly snapshotPinMs?: number
}

const DEFAULTS: Required<SnapshotOptions> = {
  snapshotEntries: 100_000,
  snapshotBytes: 64 * 1024 * 1024,
  trailingEntriesMax: 10_000,
  snapshotChunkBytes: 256 * 1024,
  snapshotBytesPerSecondMax: 64 * 1024 * 1024,
  snapshotSendsMax: 4,
  snapshotPinMs: 60_000,
}

const CHUNK_BYTES_MAX = 8 * 1024 * 1024
/** These may be 0: nothing stays, nothing is kept waiting. */
const MAY_BE_ZERO: ReadonlySet<string> = new Set(['trailingEntriesMax', 'snapshotPinMs'])

/** @throws RangeError for what cannot work */
export function resolveSnapshotOptions(options: SnapshotOptions = {}): Required<SnapshotOptions> {
  const resolved = { ...DEFAULTS, ...options }
  for (const [name, value] of Object.entries(resolved)) {
    const least = MAY_BE_ZERO.has(name) ? 0 : 1
    if (!(value >= least)) throw new RangeError(`${name} is ${value}, it must be at least ${least}`)
  }
  const { snapshotChunkBytes } = resolved
  if (snapshotChunkBytes > CHUNK_BYTES_MAX) {
    throw new RangeError(`snapshotChunkBytes is ${snapshotChunkBytes}, it must be at most ${CHUNK_BYTES_MAX}`)
  }
  return resolved
}
