/**
 * `SegmentedLogStore`: the `LogStore` on files. Opens a folder, recovers every group in it, and wires what they share:
 * flush slots, vote file, mark, tail cache, readers, trash.
 *
 * Order at start, each durable before the next: the mark says "not clean"; votes are written again after an unclean stop;
 * uncertain ends are noted; last rounds are written again. Only then does anybody see a group.
 */
import { dirname } from 'node:path'
import { writeBaseFile } from './base-file.ts'
import { type Clock, type RandomFill, systemClock, systemRandom } from './clock.ts'
import { type Disk, errnoOf } from './disk.ts'
import { FlushScheduler } from './flush-scheduler.ts'
import type { Birth, GroupLog, LogStore, LogStoreStats } from './log-store.ts'
import { LogError } from './log-store.ts'
import { type Mark, MarkFile, readMark } from './mark-file.ts'
import { nodeDisk } from './node-disk.ts'
import { OpenFiles } from './open-files.ts'
import { type GroupRecovery, type RecoveredGroup, recoverGroup } from './recovery.ts'
import { SegmentReader } from './segment-reader.ts'
import { SegmentedGroupLog } from './segmented-group-log.ts'
import { SpaceWatch } from './space-watch.ts'
import { SpareSegments } from './spare-segments.ts'
import { StorageFaults } from './storage-faults.ts'
import { groupFolder, type StoreContext, type StoreLimits } from './store-context.ts'
import { TailCache } from './tail-cache.ts'
import { Trash } from './trash.ts'
import { VoteFile } from './vote-file.ts'
import { ReplicaState } from './vote-slot.ts'
import { WriteFiles } from './write-files.ts'

const MIB = 1_048_576

export interface SegmentedLogStoreOptions extends Partial<StoreLimits> {
  /** The store's own folder; made where it is missing. */
  readonly dir: string
  /**
   * Called once, with an error after which nothing is acknowledged any more. The process should report it and exit:
   * what was in flight may or may not be stored.
   */
  readonly onFatal: (error: LogError) => void
  /** Called with what costs nothing but time. Default: a process warning. */
  readonly onProblem?: (error: Error) => void
  readonly disk?: Disk
  readonly clock?: Clock
  readonly random?: RandomFill
  /** Frames kept in memory for the end of all logs together. Default 32 MiB. */
  readonly tailCacheBytesMax?: number
  /** Client appends are refused below this much free space. Default 256 MiB. */
  readonly diskReserveBytes?: number
  /** Flushes that may run at once. Default 2. */
  readonly flushSlots?: number
  /** Cold reads that may run at once. Default 2. */
  readonly coldReadsMax?: number
  /** Files kept open for reading. Default 128. */
  readonly openFilesMax?: number
  /** Files that groups keep open for writing between two rounds. Default 512. */
  readonly writeFilesMax?: number
  /** How long removed files stay in the trash. Default 10 minutes; less on a full disk. */
  readonly trashKeepMs?: number
  /** Removed segments in the trash; of more the oldest are deleted. Default 8. */
  readonly trashSegmentsMax?: number
}

/**
 * Opens the store in a folder that this process owns, and recovers what is there. A group that cannot run is listed in
 * `refused()`; it does not keep others from running.
 *
 * @throws LogError `IO`, `DAMAGED` (the vote file as a whole), `FOLDER_NOT_WRITABLE`
 */
export async function openSegmentedLogStore(options: SegmentedLogStoreOptions): Promise<LogStore> {
  const disk = options.disk ?? nodeDisk
  try {
    await disk.makeFolder(options.dir)
    await disk.syncFolder(dirname(options.dir))
    await disk.makeFolder(`${options.dir}/groups`)
    return await SegmentedLogStore.open(disk, options)
  } catch (error) {
    if (error instanceof LogError) throw error
    const message = error instanceof Error ? error.message : String(error)
    const code = ['EACCES', 'EROFS', 'EPERM', 'ENOSPC'].includes(errnoOf(error) ?? '') ? 'FOLDER_NOT_WRITABLE' : 'IO'
    throw new LogError(code, `cannot open the log in ${options.dir}: ${message}`, error)
  }
}

class SegmentedLogStore implements LogStore {
  readonly #dir: string
  readonly #context: StoreContext
  readonly #space: SpaceWatch
  readonly #files: OpenFiles
  readonly #groups = new Map<number, SegmentedGroupLog>()
  readonly #refused = new Map<number, LogError>()
  readonly #busy = new Set<number>()
  #closed = false

  private constructor(dir: string, context: StoreContext, space: SpaceWatch, files: OpenFiles) {
    this.#dir = dir
    this.#context = context
    this.#space = space
    this.#files = files
  }

  static async open(disk: Disk, options: SegmentedLogStoreOptions): Promise<SegmentedLogStore> {
    const { dir } = options
    const clock = options.clock ?? systemClock
    const onProblem = options.onProblem ?? (error => process.emitWarning(error))
    const scheduler = new FlushScheduler(options.flushSlots ?? 2, () => clock.monotonicMs())
    const limits: StoreLimits = {
      segmentBytesMax: options.segmentBytesMax ?? 128 * MIB,
      segmentAgeMaxMs: options.segmentAgeMaxMs ?? 7 * 86_400_000,
      roundBytesMax: options.roundBytesMax ?? 8 * MIB,
      recoveryScanBytesMin: options.recoveryScanBytesMin ?? MIB,
      spareSegmentsMax: options.spareSegmentsMax ?? 4,
    }
    const spares = new SpareSegments(disk, dir, limits, () => space.acceptsAppends)
    const trash = new Trash({
      ...{ disk, clock, storeFolder: dir, onProblem, spares },
      keepMs: options.trashKeepMs ?? 600_000,
      segmentsMax: options.trashSegmentsMax ?? 8,
    })
    const giveBack = (): void => {
      spares.clear().catch(onProblem)
      trash.empty().catch(onProblem)
    }
    const space: SpaceWatch = new SpaceWatch(disk, clock, dir, options.diskReserveBytes ?? 256 * MIB, giveBack)
    await space.start()
    const faults = new StorageFaults(clock, scheduler, space, options.onFatal, onProblem)
    const found = await readMark(disk, dir)
    const files = new OpenFiles(disk, options.openFilesMax ?? 128, options.coldReadsMax ?? 2)
    const votes = await VoteFile.open(disk, dir, faults, scheduler)
    const mark = await MarkFile.open(disk, dir, found, clock, scheduler, faults).catch(async (error: unknown) => {
      space.stop()
      await votes.close()
      throw error
    })
    const context: StoreContext = {
      disk,
      clock,
      random: options.random ?? systemRandom,
      scheduler,
      faults,
      votes,
      mark,
      tails: new TailCache(options.tailCacheBytesMax ?? 32 * MIB),
      reader: new SegmentReader(disk, files, onProblem),
      writeFiles: new WriteFiles(options.writeFilesMax ?? 512, onProblem),
      trash,
      spares,
      limits,
      counters: { bytesWritten: 0 },
      refuse: (group, reason) => store.#refuse(group, reason),
      onProblem,
    }
    const store: SegmentedLogStore = new SegmentedLogStore(dir, context, space, files)
    try {
      await faults.unlessHalted(store.#recover(found))
    } catch (error) {
      await store.#release()
      throw error
    }
    return store
  }

  groups(): readonly GroupLog[] {
    return [...this.#groups.values()]
  }

  refused(): readonly { readonly group: number; readonly reason: LogError }[] {
    return [...this.#refused].map(([group, reason]) => ({ group, reason }))
  }

  get acceptsAppends(): boolean {
    return this.#space.acceptsAppends
  }

  async create(group: number, birth: Birth): Promise<GroupLog> {
    this.#assertOpen()
    if (this.#groups.has(group) || this.#busy.has(group)) {
      throw new LogError('EXISTS', `group ${group} already has a replica on this node`)
    }
    const refused = this.#refused.get(group)
    if (refused !== undefined) throw refused
    this.#busy.add(group)
    try {
      return await this.#context.faults.unlessHalted(this.#bear(group, birth))
    } finally {
      this.#busy.delete(group)
    }
  }

  async drop(group: number): Promise<void> {
    this.#assertOpen()
    const log = this.#groups.get(group)
    if (log === undefined && !this.#refused.has(group)) return
    this.#groups.delete(group)
    this.#busy.add(group)
    try {
      await this.#context.faults.unlessHalted(this.#bury(group, log))
      this.#refused.delete(group)
    } finally {
      this.#busy.delete(group)
    }
  }

  stats(): LogStoreStats {
    const { faults, counters, scheduler } = this.#context
    const { fsyncs, fsyncMsTotal } = faults.syncStats
    const { bytesWritten } = counters
    return { fsyncs, fsyncMsTotal, bytesWritten, stuckMs: scheduler.stuckMs(), diskFreeBytes: this.#space.freeBytes }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { faults, mark, votes, trash } = this.#context
    faults.stopWaiting()
    this.#space.stop()
    trash.stop()
    const groups = [...this.#groups.values()]
    await faults.orHalted(Promise.all(groups.map(log => log.idle())))
    for (const log of groups) await log.close()
    if (!faults.halted) await faults.orHalted(mark.write(true))
    await mark.close()
    await votes.close()
    await this.#files.close()
  }

  /** After a failed opening: gives back what it took, and leaves the mark as it is. */
  async #release(): Promise<void> {
    this.#closed = true
    const { faults, mark, votes, trash } = this.#context
    faults.stopWaiting()
    this.#space.stop()
    trash.stop()
    // A call that never returned may still be at work on these files: closing them would hand their numbers to others.
    if (faults.halted) return
    for (const log of this.#groups.values()) await log.close()
    await mark.close()
    await votes.close()
    await this.#files.close()
  }

  async #recover(found: Mark | null): Promise<void> {
    const { mark, votes, disk, trash, spares } = this.#context
    const cleanStop = found?.clean ?? false
    await mark.write(false)
    await spares.open()
    await trash.open()
    if (!cleanStop) await votes.rewriteAll()
    const groups = new Set<number>()
    for (const name of await disk.list(`${this.#dir}/groups`)) if (/^\d+$/.test(name)) groups.add(Number(name))
    for (const slot of votes.slots()) groups.add(slot.group)
    for (const group of [...groups].sort((a, b) => a - b)) {
      const recovery = await recoverGroup(this.#context, this.#dir, group, {
        mark: found?.entries.get(group),
        cleanStop,
      })
      if (recovery.kind === 'log' && !cleanStop) await disk.syncFolder(groupFolder(this.#dir, group))
      await this.#admit(group, recovery)
    }
    if (cleanStop) return
    await disk.syncFolder(`${this.#dir}/groups`)
    await disk.syncFolder(this.#dir)
  }

  async #admit(group: number, recovery: GroupRecovery): Promise<void> {
    switch (recovery.kind) {
      case 'nothing':
        return
      case 'refused':
        this.#refused.set(group, recovery.reason)
        return
      case 'discard':
        await this.#context.trash.take(groupFolder(this.#dir, group), `group-${group}`)
        return
      case 'log':
        await this.#handOut(group, recovery)
    }
  }

  async #handOut(group: number, recovery: RecoveredGroup): Promise<SegmentedGroupLog | null> {
    const { newUncertain, finishBirth, rewrite } = recovery
    if (newUncertain !== null) {
      await this.#changeSlot(group, { uncertainIndex: newUncertain.index, uncertainTerm: newUncertain.term })
    }
    if (finishBirth) await this.#changeSlot(group, { state: ReplicaState.born })
    const log = new SegmentedGroupLog(this.#context, recovery)
    if (rewrite !== null && !(await log.rewrite(rewrite.frames))) return null
    this.#groups.set(group, log)
    return log
  }

  async #bear(group: number, birth: Birth): Promise<GroupLog> {
    const { disk, votes, mark } = this.#context
    const { replicaId } = birth
    const slot = votes.slotOf(group)
    if (slot !== undefined && slot.state !== ReplicaState.intended && slot.replicaId === replicaId) {
      throw new LogError('REPLICA_LOST', `replica ${replicaId} of group ${group} was dropped; use a new replica id`)
    }
    if (slot !== undefined) {
      // What the mark says of a replica that was dropped must not be held against this one.
      // Both copies: one that is left alone would speak again if the other were damaged.
      mark.forget(group)
      await mark.write(false)
      await mark.write(false)
    }
    const noVote = { term: 0, vote: 0, uncertainIndex: 0, uncertainTerm: 0 }
    await this.#changeSlot(group, { replicaId, state: ReplicaState.intended, ...noVote })
    const folder = groupFolder(this.#dir, group)
    await disk.makeFolder(folder)
    await disk.syncFolder(`${this.#dir}/groups`)
    const base = { ...birth.base, voidBelow: 0 }
    await writeBaseFile(disk, folder, { group, replicaId, base })
    await this.#changeSlot(group, { state: ReplicaState.born })
    const log = await this.#handOut(group, newReplica(group, replicaId, folder, base))
    if (log === null) throw new RangeError('a new replica has no round to write again')
    return log
  }

  async #bury(group: number, log: SegmentedGroupLog | undefined): Promise<void> {
    const { mark, trash, disk, votes } = this.#context
    await log?.idle()
    await log?.close()
    if (votes.slotOf(group) !== undefined) await this.#changeSlot(group, { state: ReplicaState.dropped })
    mark.forget(group)
    await trash.take(groupFolder(this.#dir, group), `group-${group}`)
    await disk.syncFolder(`${this.#dir}/groups`)
  }

  #refuse(group: number, reason: LogError): void {
    const log = this.#groups.get(group)
    this.#groups.delete(group)
    this.#refused.set(group, reason)
    this.#context.onProblem(reason)
    log?.close().catch(this.#context.onProblem)
  }

  #changeSlot(group: number, change: Parameters<VoteFile['change']>[1]): Promise<void> {
    return new Promise(resolve => this.#context.votes.change(group, change, resolve))
  }

  #assertOpen(): void {
    if (this.#closed) throw new LogError('CLOSED', 'the log store is closed')
  }
}

function newReplica(group: number, replicaId: number, folder: string, base: Birth['base']): RecoveredGroup {
  const ballot = { term: 0, vote: 0 }
  const commit = base.index
  const log = {
    group,
    replicaId,
    folder,
    base,
    segments: [],
    patches: [],
    end: base,
    configurations: [],
    ballot,
    commit,
  }
  const state = { ...log, unreadConfiguration: 0, generation: base.voidBelow, roundNumber: 0, closedByRecovery: false }
  const recovered = { replicaId, base, last: base, ballot, commit, terms: [], configurations: [] }
  return { kind: 'log', state, rewrite: null, newUncertain: null, finishBirth: false, recovered }
}
