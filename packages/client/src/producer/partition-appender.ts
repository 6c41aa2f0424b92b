/**
 * Appends to one partition: gathers records into batches and does what the {@link AppendLane} says. All I/O and timers
 * of the producer are here and in the links; all decisions about order and outcomes are in the lane.
 *
 * A batch is sent at once when nothing of this partition is under way; otherwise records are gathered until the last
 * batch is acknowledged, or until they fill a batch.
 */
import { MillraceError, type RecordInput } from '@millrace/record'
import type { ClusterDirectory } from '../cluster/cluster-directory.ts'
import { errorFailure, rpcError } from '../cluster/rpc-error.ts'
import type { StatusBoard } from '../status/client-status.ts'
import type { Answer, Failure } from './answer.ts'
import { type AppendBatch, type AppendWaiter, type Compression, Gathering, removeWaiter } from './append-batch.ts'
import type { AppendBuffer } from './append-buffer.ts'
import { AppendLane } from './append-lane.ts'
import type { AppendLink, Expectation } from './append-link.ts'
import type { LaneAction, LaneConfig } from './lane-action.ts'
import type { LinkPool } from './link-pool.ts'

export interface AppenderContext {
  readonly directory: ClusterDirectory
  readonly links: LinkPool
  readonly buffer: AppendBuffer
  readonly status: StatusBoard
  readonly lane: LaneConfig
  readonly appendTimeoutMs: number
  readonly batchBytesMax: number
  readonly compression: Compression
  readonly topicAgeMaxMs: number
  readonly now: () => number
}

/** Records that wait behind others are made a batch after this time, so that their time limits stay apart. */
const GATHER_MS_MAX = 500
/** Codes of a lookup after which trying again is pointless. */
const HOPELESS: ReadonlySet<string> = new Set([
  'UNKNOWN_TOPIC',
  'UNKNOWN_PARTITION',
  'INVALID_NAME',
  'INVALID_ARGUMENT',
  'FORBIDDEN_ORIGIN',
  'UNSUPPORTED',
])

export class PartitionAppender {
  readonly topic: string
  readonly partition: number
  /** Called when records were made a batch: the next ones without a key may go elsewhere. */
  onSealed: () => void = () => {}
  readonly #context: AppenderContext
  readonly #lane: AppendLane
  readonly #gathering: Gathering
  readonly #batches = new Map<number, AppendBatch>()
  #link: AppendLink | null = null
  #lastBatch = 0
  #sealScheduled = false
  #timer: ReturnType<typeof setTimeout> | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #acting = false

  constructor(context: AppenderContext, topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
    this.#context = context
    this.#gathering = new Gathering(context.compression, context.batchBytesMax)
    this.#lane = new AppendLane(context.lane, {
      random: Math.random,
      producerId: () => crypto.getRandomValues(new Uint8Array(16)),
    })
  }

  /**
   * Takes a record; its waiter hears of it exactly once, later.
   *
   * @param now on the context's clock
   * @throws RECORD_TOO_LARGE, INVALID_ARGUMENT: nothing was taken
   */
  add(record: RecordInput, waiter: AppendWaiter, mark: number, now: number): void {
    let charge = this.#gathering.add(record, waiter, mark, now)
    if (charge < 0) {
      this.#seal(undefined)
      charge = this.#gathering.add(record, waiter, mark, now)
    }
    this.#context.buffer.take(charge)
    if (this.#lane.idle) this.#scheduleSeal()
    else if (this.#gathering.count === 1) this.#wakeAt(now + GATHER_MS_MAX)
  }

  /** Takes a record that is a batch of its own, under a condition. */
  addConditional(record: RecordInput, expect: Expectation, waiter: AppendWaiter): void {
    const alone = new Gathering(this.#context.compression, this.#context.batchBytesMax)
    const charge = alone.add(record, waiter, 0, this.#context.now())
    this.#seal(undefined)
    this.#context.buffer.take(charge)
    this.#seal(expect, alone)
  }

  /** The caller gives up. True: its records are certainly not stored. */
  drop(waiter: AppendWaiter): boolean {
    if (this.#gathering.drop(waiter)) return true
    for (const batch of this.#batches.values()) {
      if (!batch.waiters.includes(waiter)) continue
      if (!this.#lane.unsent(batch.id)) return false
      removeWaiter(batch, waiter)
      if (batch.waiters.length === 0 && this.#lane.withdraw(batch.id)) this.#act()
      return true
    }
    return false
  }

  /** Sends what was gathered; calls back when all that was appended so far has its result. */
  flush(done: () => void): void {
    this.#seal(undefined)
    if (this.#batches.size === 0) {
      done()
      return
    }
    let open = this.#batches.size
    for (const batch of this.#batches.values()) {
      batch.whenSettled.push(() => {
        if (--open === 0) done()
      })
    }
  }

  /** Settles everything with `error`, as truly as can be. */
  close(error: MillraceError): void {
    this.#seal(undefined)
    this.#lane.close(errorFailure(error))
    this.#act()
    this.#sleep()
    this.#context.status.remove(this)
  }

  /** At the end of this microtask queue, so that calls of one loop travel together. */
  #scheduleSeal(): void {
    if (this.#sealScheduled) return
    this.#sealScheduled = true
    queueMicrotask(() => {
      this.#sealScheduled = false
      this.#seal(undefined)
    })
  }

  #seal(expect: Expectation | undefined, gathering: Gathering = this.#gathering): void {
    const deadline = gathering.lastAt + this.#context.appendTimeoutMs
    const batch = gathering.seal(this.#lastBatch + 1, deadline, expect)
    if (batch === null) return
    if (batch.waiters.length === 0) {
      this.#context.buffer.give(batch.charge)
      return
    }
    this.#lastBatch = batch.id
    this.#batches.set(batch.id, batch)
    this.#lane.enqueue(batch, this.#context.now())
    this.#act()
    this.onSealed()
  }

  /** Does what the lane says, until it says nothing more. */
  #act(): void {
    if (this.#acting) return
    this.#acting = true
    for (let actions = this.#lane.takeActions(); actions.length > 0; actions = this.#lane.takeActions()) {
      for (const action of actions) this.#do(action)
      if (this.#lane.idle && this.#gathering.count > 0) this.#scheduleSeal()
    }
    this.#acting = false
    if (this.#lane.idle && this.#gathering.count === 0) this.#sleep()
    else this.#wakeAt(this.#lane.wakeAt())
  }

  #do(action: LaneAction): void {
    switch (action.type) {
      case 'send':
        this.#send(action)
        return
      case 'settle':
        this.#settle(this.#batches.get(action.batch.id)!, action.answer)
        return
      case 'release':
        this.#release(this.#batches.get(action.batch.id)!)
        return
      case 'find':
        void this.#find()
        return
      case 'suspect':
        this.#link?.suspect()
    }
  }

  #send(action: Extract<LaneAction, { type: 'send' }>): void {
    const batch = this.#batches.get(action.batch.id)!
    const link = this.#link!
    const { attempt, producerId, epoch, sequence, retry } = action
    link.send(
      {
        topic: this.topic,
        partition: this.partition,
        producerId,
        epoch,
        sequence,
        retry,
        expect: batch.expect,
        bytes: batch.bytes,
        crc: batch.crc,
        count: batch.waiters.length,
        codec: batch.codec,
      },
      answer => {
        if (!answer.ok) this.#learn(answer, link)
        this.#lane.answer(attempt, answer, this.#context.now())
        this.#act()
      },
    )
  }

  #learn(failure: Failure, link: AppendLink): void {
    const { directory } = this.#context
    if (failure.code === 'UNKNOWN_TOPIC') directory.forget(this.topic)
    if (failure.leaderUrl !== undefined) directory.noteLeader(this.topic, this.partition, failure.leaderUrl)
    else if (failure.retryable) directory.doubtLeader(this.topic, this.partition, link.url)
  }

  async #find(): Promise<void> {
    const { directory, links, now } = this.#context
    let url: string | undefined
    try {
      url = await directory.leaderUrl(this.topic, this.partition)
      if (url === undefined) throw new MillraceError('NO_LEADER', `${this.topic}/${this.partition} has no leader now`)
      const link = links.get(url)
      await link.ready
      this.#use(link)
    } catch (reason) {
      const error = rpcError(reason, 'not-sent')
      if (url !== undefined) directory.doubtLeader(this.topic, this.partition, url)
      if (HOPELESS.has(error.code)) this.#lane.hopeless(errorFailure(error), now())
      else this.#lane.notFound(now())
      this.#reportTrouble(error)
    }
    this.#act()
  }

  #use(link: AppendLink): void {
    const { directory, status, now } = this.#context
    const fresh = this.#link !== link
    this.#link = link
    status.clear(this)
    this.#lane.linked(link.id, now())
    if (!fresh) return
    link.onEnd(() => {
      directory.doubtLeader(this.topic, this.partition, link.url)
      this.#lane.unlinked(link.id, now())
      this.#act()
    })
  }

  #reportTrouble(error: MillraceError): void {
    const { status } = this.#context
    if (this.#lane.size === 0) status.remove(this)
    else {
      const what = `append to ${this.topic}/${this.partition}`
      status.report(this, { state: 'reconnecting', what, reason: error.message })
    }
  }

  #settle(batch: AppendBatch, answer: Answer): void {
    const { waiters, marks } = batch
    if (answer.ok) {
      const { baseOffset, timestamp } = answer
      for (let i = 0; i < waiters.length; i++) {
        waiters[i]!.stored(marks[i]!, this.partition, baseOffset + i, timestamp)
      }
    } else {
      const error = new MillraceError(answer.code, `append to ${this.topic}/${this.partition}: ${answer.message}`, {
        outcome: answer.outcome,
        ...(answer.details === undefined ? {} : { details: answer.details }),
      })
      for (let i = 0; i < waiters.length; i++) waiters[i]!.failed(marks[i]!, error)
    }
    for (const settled of batch.whenSettled) settled()
    batch.whenSettled.length = 0
  }

  #release(batch: AppendBatch): void {
    this.#batches.delete(batch.id)
    this.#context.buffer.give(batch.charge)
    // Withdrawn: nobody is left to hear of it.
    for (const settled of batch.whenSettled) settled()
    if (this.#lane.size === 0) this.#context.status.remove(this)
  }

  /** Nothing is under way: no timer may keep the process alive. */
  #sleep(): void {
    clearTimeout(this.#timer)
    this.#timerAt = Number.POSITIVE_INFINITY
  }

  #wakeAt(at: number): void {
    if (at >= this.#timerAt || at === Number.POSITIVE_INFINITY) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, at - this.#context.now()))
  }

  #tick(): void {
    this.#timerAt = Number.POSITIVE_INFINITY
    const now = this.#context.now()
    const { startedAt, count } = this.#gathering
    if (count > 0 && now - startedAt >= GATHER_MS_MAX) this.#seal(undefined)
    this.#lane.tick(now)
    this.#act()
    if (this.#gathering.count > 0) this.#wakeAt(this.#gathering.startedAt + GATHER_MS_MAX)
  }
}
