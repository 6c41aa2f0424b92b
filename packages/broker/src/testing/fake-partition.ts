/** A partition in memory for tests of the edge: commits at once, unless a test holds commits back or moves the leader. */
import { type Frame, FrameKind, MillraceError, NO_PRODUCER, nextOffsetAfter, sealFrame } from '@millrace/record'
import type { AppendBatch, AppendDone, Partition, ReadResult } from '@millrace/topics'

export class FakePartition implements Partition {
  readonly topic: string
  readonly partition: number
  readonly group: number
  readonly frames: Frame[] = []
  leaderlessMs = 0
  leaderNode: number
  term = 1
  logStartOffset = 0
  highWatermark = 0
  /** While true, appends are taken and not committed. */
  holdCommits = false
  halted = false
  now = 1_000
  readonly #self: number
  readonly #waiters = new Set<{ offset: number; wake: () => void }>()
  readonly #held: (() => void)[] = []

  constructor(topic: string, partition: number, self: number, leaderNode: number) {
    this.topic = topic
    this.partition = partition
    this.group = partition + 1
    this.#self = self
    this.leaderNode = leaderNode
  }

  get leading(): boolean {
    return this.leaderNode === this.#self
  }

  /** Appends that are taken and not committed. */
  get heldCount(): number {
    return this.#held.length
  }

  append(batch: AppendBatch, done: AppendDone): void {
    if (!this.leading) {
      done(new MillraceError('NOT_LEADER', `not leader of ${this.topic}/${this.partition}`))
      return
    }
    if (this.holdCommits) this.#held.push(() => this.#commit(batch, done))
    else this.#commit(batch, done)
  }

  startLogAt(offset: number): Promise<number> {
    if (!this.leading) return Promise.reject(new MillraceError('NOT_LEADER', `not leader of ${this.topic}`))
    if (offset > this.highWatermark)
      return Promise.reject(new MillraceError('OFFSET_OUT_OF_RANGE', `${offset} is beyond ${this.highWatermark}`))
    this.logStartOffset = Math.max(this.logStartOffset, offset)
    return Promise.resolve(this.logStartOffset)
  }

  release(): void {
    this.holdCommits = false
    for (const commit of this.#held.splice(0)) commit()
  }

  #commit(batch: AppendBatch, done: AppendDone): void {
    const baseOffset = this.highWatermark
    const body = {
      kind: FrameKind.records,
      codec: batch.codec,
      recordCount: batch.count,
      producerId: batch.producer?.id ?? NO_PRODUCER,
      producerEpoch: batch.producer?.epoch ?? 0,
      sequence: batch.producer?.sequence ?? 0,
      payload: batch.payload,
    }
    const at = {
      group: this.group,
      index: this.frames.length + 2,
      term: 1,
      baseOffset,
      timestamp: this.now++,
      previousChain: 0,
    }
    const frame = sealFrame(body, at)
    this.frames.push(frame)
    this.highWatermark = nextOffsetAfter(frame.header)
    done({ baseOffset, count: batch.count, timestamp: frame.header.timestamp, duplicate: false })
    for (const waiter of this.#waiters) {
      if (this.highWatermark <= waiter.offset) continue
      this.#waiters.delete(waiter)
      waiter.wake()
    }
  }

  async read(fromOffset: number, bytesMax: number): Promise<ReadResult> {
    if (this.halted) throw new MillraceError('PARTITION_HALTED', `${this.topic}/${this.partition} is halted`)
    const frames: Frame[] = []
    let bytes = 0
    let nextOffset = fromOffset
    for (const frame of this.frames) {
      if (nextOffsetAfter(frame.header) <= fromOffset) continue
      if (frames.length > 0 && bytes + frame.bytes.length > bytesMax) break
      frames.push(frame)
      bytes += frame.bytes.length
      nextOffset = nextOffsetAfter(frame.header)
    }
    return { frames, nextOffset, highWatermark: this.highWatermark }
  }

  async offsetAtTime(timeMs: number): Promise<number> {
    const frame = this.frames.find(({ header }) => header.timestamp >= timeMs)
    return frame?.header.baseOffset ?? this.highWatermark
  }

  waitAbove(offset: number, wake: () => void): { cancel(): void } {
    const waiter = { offset, wake }
    if (this.highWatermark > offset) wake()
    else this.#waiters.add(waiter)
    return { cancel: () => this.#waiters.delete(waiter) }
  }
}
