/**
 * One partition on this node as the broker sees it: joins the state machine (what is true), the group (who leads, what
 * is proposed) and the log (where the bytes are).
 *
 * Never lets a reader see what is not committed and applied here; never answers an append for a batch whose fate, or
 * whose cause of refusal, is still open.
 */
import { LogError } from '@millrace/log-store'
import type { GroupHandle } from '@millrace/raft-node'
import type { Frame } from '@millrace/record'
import { FrameKind, MillraceError, NO_PRODUCER, nextOffsetAfter } from '@millrace/record'
import { checkBatch } from './append-batch-check.ts'
import type { Refusal } from './append-decision.ts'
import { InvariantError } from './invariant-error.ts'
import { readError } from './log-errors.ts'
import { proposeLogStart } from './log-start.ts'
import type { AppendBatch, AppendDone, Partition, ReadResult } from './partition.ts'
import type { PartitionMachine } from './partition-machine.ts'
import { PendingAppend } from './pending-append.ts'
import { producerKey } from './producer-table.ts'
import { droppedProposal, notLeading } from './proposal-errors.ts'
import { ReadCursors } from './read-cursors.ts'

/** What a trim has dropped from this replica's log. */
export interface Trimmed {
  readonly entries: number
  readonly records: number
}

export class PartitionReplica implements Partition {
  readonly topic: string
  readonly partition: number
  readonly machine: PartitionMachine
  readonly handle: GroupHandle
  readonly #cursors = new ReadCursors()
  readonly #leaderGone = (reason: string): MillraceError => notLeading(this.handle, this.#name, reason)
  /** The log is known to hold what is committed up to this index. */
  #heldTo = 0
  readonly #nowMs: () => number
  /** Undefined while a leader is known. */
  #leaderlessSinceMs: number | undefined
  /** Log start behind which the log has been trimmed as far as it goes: one may lie within a batch. */
  #trimmedFor = 0
  #halted: string | undefined
  #closed: MillraceError | undefined

  /** @param nowMs a clock that never goes back */
  constructor(
    topic: string,
    partition: number,
    machine: PartitionMachine,
    handle: GroupHandle,
    nowMs: () => number = () => performance.now(),
  ) {
    this.topic = topic
    this.partition = partition
    this.machine = machine
    this.handle = handle
    this.#nowMs = nowMs
    this.#halted = handle.status().halted
    this.#noteLeader()
    handle.observe(event => {
      if (event.type === 'halted') this.#halt()
      else if (event.type === 'leader') this.#noteLeader()
    })
  }

  get #name(): string {
    return `${this.topic}/${this.partition}`
  }

  get group(): number {
    return this.handle.group
  }

  get leading(): boolean {
    return this.machine.accepting && this.handle.leading
  }

  get leaderNode(): number {
    return this.handle.leaderNode
  }

  get term(): number {
    return this.handle.term
  }

  get leaderlessMs(): number {
    return this.#leaderlessSinceMs === undefined ? 0 : this.#nowMs() - this.#leaderlessSinceMs
  }

  /** A start that is being replayed may be behind the one up to which the log was trimmed already. */
  get logStartOffset(): number {
    return Math.max(this.machine.logStartOffset, this.handle.log.base.nextOffset)
  }

  get highWatermark(): number {
    return this.machine.nextOffset
  }

  append(batch: AppendBatch, done: AppendDone): void {
    const refusal =
      checkBatch(batch) ?? this.#unusable() ?? (this.leading ? undefined : notLeading(this.handle, this.#name))
    if (refusal !== undefined) {
      done(refusal)
      return
    }
    const key = batch.producer === undefined ? '' : producerKey(batch.producer.id)
    const decision = this.machine.decide(batch, key)
    switch (decision.type) {
      case 'accept':
        this.#propose(batch, key, done)
        return
      case 'stored':
        done({ ...decision.batch, duplicate: true })
        return
      case 'join':
        if (!decision.pending.join(done)) done(tooManyWait())
        return
      case 'refuse':
        this.#refuse(decision, done)
        return
    }
  }

  async read(fromOffset: number, bytesMax: number): Promise<ReadResult> {
    const unusable = this.#unreadable()
    if (unusable !== undefined) throw unusable
    const highWatermark = this.machine.nextOffset
    if (!(fromOffset >= this.logStartOffset && fromOffset <= highWatermark)) throw this.#outOfRange(fromOffset)
    if (fromOffset === highWatermark) return { frames: [], nextOffset: fromOffset, highWatermark }
    const behind = this.#behind()
    if (behind !== undefined) throw behind
    try {
      const frames = await this.#readFrames(fromOffset, this.machine.applied.index + 1, bytesMax)
      return { frames, nextOffset: nextOffsetAfter(frames.at(-1)!.header), highWatermark }
    } catch (error) {
      throw readError(error, () => this.#outOfRange(fromOffset))
    }
  }

  async offsetAtTime(timeMs: number): Promise<number> {
    const unusable = this.#unreadable() ?? this.#behind()
    if (unusable !== undefined) throw unusable
    try {
      const offset = await this.handle.log.offsetAtTime(timeMs)
      return Math.max(this.logStartOffset, Math.min(offset, this.highWatermark))
    } catch (error) {
      throw readError(error, () => this.#outOfRange(this.logStartOffset))
    }
  }

  waitAbove(offset: number, wake: () => void): { cancel(): void } {
    const waiter = this.machine.waiters.add(offset, wake)
    if (this.#unreadable() !== undefined) this.machine.waiters.wakeAll()
    return waiter
  }

  /** It takes part, and nobody has closed it. */
  get usable(): boolean {
    return this.#unusable() === undefined
  }

  async startLogAt(offset: number): Promise<number> {
    const refusal = this.#unusable() ?? (this.leading ? undefined : notLeading(this.handle, this.#name))
    if (refusal !== undefined) throw refusal
    if (!(Number.isSafeInteger(offset) && offset >= 0 && offset <= this.highWatermark)) throw this.#outOfRange(offset)
    if (offset > this.machine.logStartOffset) await proposeLogStart(this.handle, this.#name, offset)
    return this.logStartOffset
  }

  /** There are entries below the log start, and nothing has held the last trim back that still would. */
  get trimDue(): boolean {
    const { logStartOffset } = this.machine
    return logStartOffset > this.handle.log.base.nextOffset && logStartOffset !== this.#trimmedFor
  }

  /**
   * Drops what is below the log start from this replica's log, up to what its checkpoint holds durably and what no follower
   * needs after a snapshot. Never reaches what is not applied here.
   *
   * @throws LogError, StateStoreError; MillraceError where the replica takes no part
   */
  async trimLog(): Promise<Trimmed> {
    const { handle, machine } = this
    const { logStartOffset } = machine
    // The state came from elsewhere, and the log has not come so far.
    if (handle.log.end.nextOffset < logStartOffset) return { entries: 0, records: 0 }
    const first = await handle.log.indexOfOffset(logStartOffset)
    const last = Math.min(first - 1, machine.applied.index)
    const before = handle.log.base
    if ((await handle.trimLog(last)) >= last) this.#trimmedFor = logStartOffset
    const { index, nextOffset } = handle.log.base
    return { entries: index - before.index, records: nextOffset - before.nextOffset }
  }

  /** Refuses everything from now on with `reason`, and wakes whoever waits. */
  close(reason: MillraceError): void {
    this.#closed = reason
    this.machine.waiters.wakeAll()
  }

  /** Answers once the refusal is certain. */
  #refuse({ error, cause, confirm }: Refusal, done: AppendDone): void {
    if (cause !== undefined) {
      if (!cause.refuseAfter(error, done)) done(tooManyWait())
    } else if (confirm === undefined) {
      done(error)
    } else {
      const lost = (reason: unknown): void => done(notLeading(this.handle, this.#name, String(reason)))
      this.handle.readIndex().then(() => done(error), lost)
    }
  }

  #propose(batch: AppendBatch, key: string, done: AppendDone): void {
    const pending = new PendingAppend(batch, key, done, this.#leaderGone)
    const result = this.handle.propose(
      {
        kind: FrameKind.records,
        codec: batch.codec,
        recordCount: batch.count,
        producerId: batch.producer?.id ?? NO_PRODUCER,
        producerEpoch: batch.producer?.epoch ?? 0,
        sequence: batch.producer?.sequence ?? 0,
        payload: batch.payload,
        payloadCrc: batch.payloadCrc,
        payloadOwned: batch.payloadOwned === true,
      },
      pending,
    )
    if (result.type === 'accepted') this.machine.accepted(pending, result.index, result.baseOffset)
    else done(droppedProposal(this.handle, this.#name, result))
  }

  /** Frames with records from `fromOffset` on, at least one: there is one below the high watermark. */
  async #readFrames(fromOffset: number, end: number, bytesMax: number): Promise<readonly Frame[]> {
    const { log } = this.handle
    let index = this.#cursors.indexOf(fromOffset) ?? (await log.indexOfOffset(fromOffset))
    while (index < end) {
      const read = await this.#readFrom(index, end, bytesMax, fromOffset)
      const last = read.at(-1)
      if (last === undefined) break
      index = last.header.index + 1
      const frames = read.filter(f => f.header.kind === FrameKind.records && nextOffsetAfter(f.header) > fromOffset)
      if (frames.length === 0) continue
      this.#cursors.remember(nextOffsetAfter(frames.at(-1)!.header), index)
      return frames
    }
    throw new InvariantError(`group ${this.group}: no frame holds offset ${fromOffset}, below index ${end}`)
  }

  /**
   * Frames from `index` on, or from where the log begins: a trim may have dropped, before the read or meanwhile, entries without
   * records in front of the one that is looked for.
   *
   * @throws MillraceError OFFSET_OUT_OF_RANGE where it has dropped that one too
   */
  async #readFrom(index: number, end: number, bytesMax: number, offset: number): Promise<readonly Frame[]> {
    const { log } = this.handle
    for (;;) {
      if (log.base.nextOffset > offset) throw this.#outOfRange(offset)
      const from = Math.max(index, log.base.index + 1)
      try {
        return log.readCached(from, end, bytesMax) ?? (await log.read(from, end, bytesMax))
      } catch (error) {
        const wasTrimmed = error instanceof LogError && error.code === 'COMPACTED' && log.base.index >= from
        if (!wasTrimmed) throw error
      }
    }
  }

  #unusable(): MillraceError | undefined {
    if (this.#closed !== undefined) return this.#closed
    if (this.#halted === undefined) return undefined
    const message = `partition ${this.#name} is halted on this node: ${this.#halted}`
    return new MillraceError('PARTITION_HALTED', message)
  }

  /** Without a state nobody here knows what may be read. */
  #unreadable(): MillraceError | undefined {
    const unusable = this.#unusable()
    if (unusable !== undefined || !this.machine.isStateMissing) return unusable
    const message = `partition ${this.#name} has no state on this node until that of another replica is here; read from another one, or try again`
    return new MillraceError('REPLICA_BEHIND', message)
  }

  /** The state came from elsewhere, and the log is not known to hold everything that it speaks of. */
  #behind(): MillraceError | undefined {
    const { broughtTo } = this.machine
    if (broughtTo <= this.#heldTo) return undefined
    const { commit } = this.handle.status()
    if (commit < broughtTo) {
      const message = `partition ${this.#name} has its state up to entry ${broughtTo} on this node and its log up to ${commit}; read from another replica, or try again`
      return new MillraceError('REPLICA_BEHIND', message, { details: { commit, state: broughtTo } })
    }
    this.#heldTo = broughtTo
    return undefined
  }

  #noteLeader(): void {
    if (this.handle.leaderNode !== 0) this.#leaderlessSinceMs = undefined
    else this.#leaderlessSinceMs ??= this.#nowMs()
  }

  #halt(): void {
    this.#halted = this.handle.status().halted ?? 'unknown reason'
    this.machine.waiters.wakeAll()
  }

  #outOfRange(offset: number): MillraceError {
    const { logStartOffset, highWatermark } = this
    return new MillraceError(
      'OFFSET_OUT_OF_RANGE',
      `offset ${offset} of ${this.#name}: valid are ${logStartOffset} to ${highWatermark}`,
      { details: { offset, logStartOffset, highWatermark } },
    )
  }
}

function tooManyWait(): MillraceError {
  return new MillraceError('THROTTLED', 'too many answers wait for the same batch')
}
