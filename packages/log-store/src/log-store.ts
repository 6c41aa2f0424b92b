/**
 * The seam between a Raft host and its storage: one `LogStore` per node, one `GroupLog` per Raft group.
 *
 * Calls come from one thread. A `GroupLog` is written in the order of the calls; reads may run beside writes. Frames
 * belong to everybody and are never changed: the store keeps references to what it is given and hands out views.
 * Implementations: `SegmentedLogStore` (files) and `MemoryLogStore` (`@millrace/log-store/memory`).
 */
import type { Frame } from '@millrace/record'
import type { SegmentExtent } from './segment-extents.ts'

/** Where a log stands after its entry `index`: everything that the next frame needs to join it. */
export interface LogPosition {
  readonly index: number
  readonly term: number
  readonly chain: number
  /** Of the frame at `index`, milliseconds. */
  readonly timestamp: number
  /** First offset that is not taken. */
  readonly nextOffset: number
}

/** What a log is born from, or starts at after a trim: the entries up to `index` are not in the log. */
export interface BaseRecord extends LogPosition {
  /** The configuration in force at `index`, encoded; opaque here. */
  readonly configuration: Uint8Array
  readonly configurationIndex: number
  /** Frames above `index` of a generation below this are void. */
  readonly voidBelow: number
}

/**
 * A range that cannot be read: the entries after `before`, up to `last`. Both of these are known. Where their terms differ,
 * those of the entries between are not.
 */
export interface Hole {
  readonly before: LogPosition
  readonly last: LogPosition
}

/** Term and vote of a replica. `vote` 0: none given. */
export interface Ballot {
  readonly term: number
  readonly vote: number
}

/** A run of entries of one term, from `first` up to the next run. */
export interface StoredTermRun {
  readonly first: number
  readonly term: number
}

/** What recovery found. The log holds the entries (base.index, last.index]. */
export interface RecoveredLog {
  readonly replicaId: number
  readonly base: BaseRecord
  readonly last: LogPosition
  readonly ballot: Ballot
  /** max(base.index, commit of the newest valid round); never above last.index. */
  readonly commit: number
  /** Says too little inside a hole whose ends have different terms: there the term of the entry before the hole goes on. */
  readonly terms: readonly StoredTermRun[]
  /**
   * Configuration frames of the log: the newest at or below `commit` (if any) and all above it, rising; without what is in
   * a hole.
   */
  readonly configurations: readonly Frame[]
  /**
   * A hole may hold a configuration that is newer than the newest at or below `commit`, up to this index. Until the hole is
   * patched the configuration in force is not known: neither campaign nor lead.
   */
  readonly unreadConfiguration?: number
  /** The log ended below what was known to be durable: neither vote nor campaign until it has been repaired. */
  readonly uncertainUntil?: { readonly index: number; readonly term: number }
}

/** One write. Becomes durable as a whole or, after a crash, not at all. */
export interface LogWrite {
  /**
   * Contiguous in index and chain. The first may be at or below the end of the log: everything from there on is
   * replaced (by a new generation; nothing is overwritten). Empty: only the ballot and what the host waits for.
   */
  readonly frames: readonly Frame[]
  /** Made durable before the frames, when given. */
  readonly ballot?: Ballot
  /** Commit index known when the write was made; travels with the frames, not synced by itself. */
  readonly commit: number
  /** The log has matched a leader at or above `RecoveredLog.uncertainUntil`: forgotten before the frames are written. */
  readonly clearsUncertain?: boolean
}

/**
 * Called once, in the order of the writes of the group, from a later turn of the event loop, when the write and
 * every earlier one of the group are durable. Not called after a fatal error or `close`.
 */
export type WriteDone = () => void

export interface GroupLog {
  readonly group: number
  readonly recovered: RecoveredLog
  /** The base as it is now (trims move it). */
  readonly base: BaseRecord
  /** The end including writes that are not durable yet. */
  readonly end: LogPosition
  /** The end of what is durable; while a replacement is queued, still that of the old log. */
  readonly durable: LogPosition
  /** Bytes of frames handed to `write` and not durable yet. */
  readonly pendingBytes: number
  /**
   * What is known not to be readable, rising: from recovery, and from reads since, which throw `LogDamaged` then. Goes by
   * patches, by replacing the entries from its first one on, and by a base at or above its last.
   */
  readonly holes: readonly Hole[]

  /**
   * The segments of what is durable, the oldest first, each beginning where the one before ends. The last one is being
   * written to and is dropped by no trim. Costs no read.
   */
  segments(): readonly SegmentExtent[]

  /**
   * From now on a segment is followed by another one when it is older than `ageMs`, or than the store's own limit where that
   * is lower: with the next write, so an idle log keeps its segment. Not kept over a restart.
   */
  limitSegmentAge(ageMs: number): void

  /**
   * Queues a write; never waits. The host bounds what is pending.
   *
   * @throws LogDamaged where `frames` begin inside a hole, but not at its first entry: nobody knows what they follow
   */
  write(write: LogWrite, done: WriteDone): void

  /**
   * Frames [from, to) by index, contiguous from `from`, at least one, at most about `bytesMax` bytes; those that are
   * queued and not durable are included. Checksums are verified. Ends before a hole.
   *
   * @throws LogError `COMPACTED` where `from` ≤ base.index, `OUT_OF_RANGE` beyond the end, `IO`
   * @throws LogDamaged where `from` is in a hole
   */
  read(from: number, to: number, bytesMax: number): Promise<readonly Frame[]>

  /** The same from memory, or null where not everything up to the first `bytesMax` bytes is there. */
  readCached(from: number, to: number, bytesMax: number): readonly Frame[] | null

  /**
   * Index of the frame that holds `offset`, or of the first frame of records after it; end.index + 1 where there is
   * none yet.
   *
   * @throws LogError `COMPACTED` where the log no longer holds the offset
   * @throws LogDamaged where the frame may be in a hole
   */
  indexOfOffset(offset: number): Promise<number>

  /** Offset of the first record in a frame with a timestamp ≥ `timestamp`; end.nextOffset where there is none. */
  offsetAtTime(timestamp: number): Promise<number>

  /**
   * Moves the base up to `base.index` and drops whole segments below it. Durable, and `base` moved, when the promise
   * resolves. Quiet where the base is there already. The store keeps its own `voidBelow`, whatever is given.
   *
   * @throws LogDamaged where the base would be inside a hole: nothing was changed
   */
  trimPrefix(base: BaseRecord): Promise<void>

  /**
   * Discards the log and starts it anew at `base` (an installed snapshot). Durable when the promise resolves. `base` and
   * `end` move at once, so that the next write may follow; `voidBelow` is the store's own.
   */
  reset(base: BaseRecord): Promise<void>

  /**
   * Repairs a hole with the frames of all its entries, from any peer: they are taken only where they continue the chain of
   * the entry before the hole and end in exactly its last entry. True: they are durable, and read from now on. False: they
   * are not the frames of a hole (any more); nothing was changed. Other operations of the group wait meanwhile.
   *
   * @param upTo for the first entries of a hole that is too long to be held in memory: where the log stood after the last of
   *   `frames`. The caller has seen that the chain runs from the entry before the hole through this position to exactly the
   *   hole's last entry; without that proof the frames could be those of another history. Default: the hole's last entry
   */
  patch(frames: readonly Frame[], upTo?: LogPosition): Promise<boolean>
}

/** What a new replica's log starts from. */
export interface Birth {
  readonly replicaId: number
  readonly base: BaseRecord
}

export interface LogStoreStats {
  readonly fsyncs: number
  readonly fsyncMsTotal: number
  /** Bytes of frames and round records written since the start. */
  readonly bytesWritten: number
  /** Milliseconds since the oldest running write started; 0 when none is running. */
  readonly stuckMs: number
  readonly diskFreeBytes: number
}

export interface LogStore {
  /** Every group that recovery found, whole or damaged. */
  groups(): readonly GroupLog[]
  /**
   * Groups that must not run: their log is gone or damaged in a way that cannot be repaired yet, and why. A group whose
   * log turns out to be damaged while it is written to moves here; what is queued is never answered, calls throw the
   * reason.
   */
  refused(): readonly { readonly group: number; readonly reason: LogError }[]
  /** Makes a new replica: vote slot, base record, vote slot `born`, all durable when the promise resolves. */
  create(group: number, birth: Birth): Promise<GroupLog>
  /** Moves the group's files to the trash; its replica id stays dead. */
  drop(group: number): Promise<void>
  /** False while free space is below the disk reserve: client appends are refused, everything else goes on. */
  readonly acceptsAppends: boolean
  stats(): LogStoreStats
  /** Finishes queued writes, writes the mark, releases files. */
  close(): Promise<void>
}

export type LogErrorCode =
  | 'COMPACTED'
  | 'OUT_OF_RANGE'
  | 'DAMAGED'
  | 'REPLICA_LOST'
  | 'IO'
  | 'FORMAT_VERSION'
  | 'FOLDER_IN_USE'
  | 'FOLDER_NOT_WRITABLE'
  | 'IDENTITY'
  | 'EXISTS'
  | 'CLOSED'

/** What storage refuses, by name. The message says which file, where, and what to do. */
export class LogError extends Error {
  readonly code: LogErrorCode

  constructor(code: LogErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'LogError'
    this.code = code
  }
}

/** Entries that were asked for, or are needed, are in a hole. Other replicas have them: fetch and `patch`. */
export class LogDamaged extends LogError {
  readonly group: number
  readonly hole: Hole

  constructor(group: number, hole: Hole) {
    const first = hole.before.index + 1
    super(
      'DAMAGED',
      `group ${group}: entries ${first} to ${hole.last.index} are damaged on this disk. Nothing was changed; they are intact on other replicas`,
    )
    this.name = 'LogDamaged'
    this.group = group
    this.hole = hole
  }
}
