import { MemorySnapshotStore } from '@millrace/log-store/memory'
import { crc32 } from '@millrace/record'
import { describe, expect, test } from 'vitest'
import { RateLimit } from './rate-limit.ts'
import type { SnapshotCallEvents, SnapshotChunk, SnapshotOffer } from './snapshot-calls.ts'
import { resolveSnapshotOptions, type SnapshotOptions } from './snapshot-options.ts'
import type { TransferEnd } from './snapshot-sender.ts'
import { type SendHandle, SnapshotSends } from './snapshot-sends.ts'
import { ManualTimers } from './testing/manual-timers.ts'
import { snapshotOffer } from './testing/recording-handler.ts'
import { until } from './testing/until.ts'

const CONTENT = Uint8Array.from({ length: 100 }, (_, at) => at)
const CHUNK = 10

/** A call as the test's receiver sees it. */
interface Call {
  readonly toNode: number
  readonly offer: SnapshotOffer
  readonly events: SnapshotCallEvents
  readonly chunks: SnapshotChunk[]
  closed: boolean
}

class Bench {
  readonly timers = new ManualTimers()
  readonly calls: Call[] = []
  readonly sends: SnapshotSends
  readonly ends: TransferEnd[] = []
  closedReaders = 0

  constructor(options: SnapshotOptions = {}) {
    const limits = resolveSnapshotOptions({ snapshotChunkBytes: CHUNK, ...options })
    this.sends = new SnapshotSends({
      ...{ clock: this.timers, limits },
      call: (toNode, offer, events) => {
        const call: Call = { toNode, offer, events, chunks: [], closed: false }
        this.calls.push(call)
        return {
          send: chunk => void call.chunks.push(chunk),
          close: () => {
            call.closed = true
          },
        }
      },
    })
  }

  /** Asks for a transfer to a node. */
  async add(toNode: number, offer = snapshotOffer(CONTENT.length, crc32(CONTENT))): Promise<SendHandle> {
    const store = new MemorySnapshotStore()
    const sink = await store.create(offer.info)
    await sink.write(CONTENT)
    await sink.commit()
    return this.sends.add({
      toNode,
      open: async () => {
        const reader = (await store.openNewest())!
        const close = (): Promise<void> => {
          this.closedReaders += 1
          return reader.close()
        }
        return { offer, reader: { info: reader.info, read: (at, max) => reader.read(at, max), close } }
      },
      ended: end => this.ends.push(end),
    })
  }

  async call(at: number): Promise<Call> {
    await until(`call ${at} is made`, () => this.calls.length > at)
    return this.calls[at]!
  }

  /** Waits for the chunk that begins at `offset`, while time passes. */
  async chunk(call: Call, offset: number): Promise<SnapshotChunk> {
    const found = (): SnapshotChunk | undefined => call.chunks.find(chunk => chunk.offset === offset)
    await until(`the chunk at ${offset} is sent`, () => {
      this.timers.advance(0.001)
      return found() !== undefined
    })
    return found()!
  }
}

function answer(call: Call, received: number, done = false): void {
  call.events.answered({ term: 1, received, done })
}

/** Lets everything happen that happens without time or answers. */
async function settled(bench: Bench): Promise<void> {
  for (let i = 0; i < 20; i++) {
    bench.timers.advance(0.001)
    await new Promise(resolve => setImmediate(resolve))
  }
}

describe('a transfer', () => {
  test('sends nothing before the receiver has said where to begin, then a window, then one chunk per answer', async () => {
    const b = new Bench({ snapshotBytesPerSecondMax: 1e12 })
    await b.add(2)
    const call = await b.call(0)
    await settled(b)
    expect(call.chunks).toEqual([])
    answer(call, 0)
    await b.chunk(call, 30)
    await settled(b)
    expect(call.chunks.map(chunk => chunk.offset)).toEqual([0, 10, 20, 30])
    answer(call, 10)
    await b.chunk(call, 40)
    await settled(b)
    expect(call.chunks.map(chunk => chunk.offset)).toEqual([0, 10, 20, 30, 40])
    for (let received = 20; received < 100; received += 10) {
      await b.chunk(call, received - 10)
      answer(call, received)
    }
    const last = await b.chunk(call, 90)
    expect(call.chunks.map(chunk => chunk.done)).toEqual([...new Array(9).fill(false), true])
    expect(Buffer.concat(call.chunks.map(chunk => chunk.data))).toEqual(Buffer.from(CONTENT))
    expect(last.crc).toBe(crc32(CONTENT.slice(90)))
    answer(call, 100, true)
    await until('it is over', () => b.ends.length === 1)
    expect([b.ends, call.closed, b.closedReaders]).toEqual([[{ status: 'finished' }], true, 1])
    expect(b.sends.traffic).toMatchObject({ bytesSent: 100, sent: 1 })
  })

  test('goes on where the receiver says, call after call; what is sent twice is no more than was in flight', async () => {
    const b = new Bench({ snapshotBytesPerSecondMax: 1e12 })
    const handle = await b.add(2)
    for (let i = 0; i < 3; i++) {
      const call = await b.call(i)
      answer(call, i * 20)
      await b.chunk(call, i * 20 + 10)
      answer(call, i * 20 + 20)
      await settled(b)
      call.events.ended('cut')
      expect(call.closed).toBe(true)
      expect(handle.progress).toEqual({ index: expect.any(Number), bytes: i * 20 + 20, bytesTotal: 100 })
      b.timers.advance(2_000)
    }
    const call = await b.call(3)
    answer(call, 60)
    await b.chunk(call, 90)
    answer(call, 100, true)
    await until('it is over', () => b.ends.length === 1)
    expect(call.chunks.map(chunk => chunk.offset)).toEqual([60, 70, 80, 90])
    // Each break loses at most a window of four chunks.
    expect(b.sends.traffic.bytesSent).toBeLessThanOrEqual(100 + 3 * 4 * CHUNK)
  })

  test('ends with an empty chunk where the receiver has everything and has not said that it is done', async () => {
    const b = new Bench()
    await b.add(2)
    const call = await b.call(0)
    answer(call, 100)
    expect(await b.chunk(call, 100)).toMatchObject({ data: new Uint8Array(0), done: true })
  })

  test('is given up after calls that bring nothing; one that brings something counts anew', async () => {
    const b = new Bench()
    await b.add(2)
    for (let i = 0; i < 3; i++) {
      ;(await b.call(i)).events.ended('refused connection')
      b.timers.advance(2_000)
    }
    const fourth = await b.call(3)
    answer(fourth, 0)
    await b.chunk(fourth, 0)
    answer(fourth, 10)
    fourth.events.ended('cut')
    for (let i = 4; i < 9; i++) {
      b.timers.advance(2_000)
      ;(await b.call(i)).events.ended('refused connection')
    }
    await until('it is over', () => b.ends.length === 1)
    expect([b.ends, b.calls.length]).toEqual([[{ status: 'failed', reason: 'refused connection' }], 9])
  })

  test('of a receiver that falls silent begins another call', async () => {
    const b = new Bench()
    await b.add(2)
    answer(await b.call(0), 0)
    b.timers.advance(29_000)
    expect(b.calls).toHaveLength(1)
    b.timers.advance(5_000)
    expect([b.calls.length, b.calls[0]!.closed]).toEqual([2, true])
    // What the first call still says is not listened to.
    answer(b.calls[0]!, 50)
    await settled(b)
    expect(b.calls[1]!.chunks).toEqual([])
  })

  test('ends at once when it is refused, or when its leader is deposed', async () => {
    const b = new Bench()
    await b.add(2)
    ;(await b.call(0)).events.answered({ term: 9, received: 0, done: false, refused: 'its sender leads no longer' })
    const other = await b.add(3)
    await b.call(1)
    other.abort('the leadership ended')
    await until('both are over', () => b.ends.length === 2)
    expect(b.ends.map(end => end.status === 'failed' && end.reason)).toEqual([
      'refused: its sender leads no longer',
      'the leadership ended',
    ])
    expect([b.calls.every(call => call.closed), b.closedReaders]).toEqual([true, 2])
  })

  test('does not believe a receiver that claims more than it was sent', async () => {
    const b = new Bench({ snapshotBytesPerSecondMax: 1e12 })
    await b.add(2)
    const call = await b.call(0)
    answer(call, 0)
    await b.chunk(call, 30)
    answer(call, 90)
    await until('it is over', () => b.ends.length === 1)
    expect(b.ends).toEqual([{ status: 'failed', reason: 'the receiver claims 90 bytes' }])
  })
})

describe('of several transfers', () => {
  test('one runs per peer and a bounded number at all; others wait for their turn, in order', async () => {
    const b = new Bench({ snapshotSendsMax: 2 })
    for (const node of [2, 2, 3, 4]) await b.add(node)
    await b.call(1)
    await settled(b)
    expect([b.calls.map(call => call.toNode), b.sends.running, b.sends.waiting]).toEqual([[2, 3], 2, 2])
    answer(b.calls[1]!, 100, true)
    expect((await b.call(2)).toNode).toBe(4)
    answer(b.calls[0]!, 100, true)
    expect((await b.call(3)).toNode).toBe(2)
    answer(b.calls[2]!, 100, true)
    answer(b.calls[3]!, 100, true)
    await until('all are over', () => b.ends.length === 4)
    expect([b.sends.running, b.sends.waiting]).toEqual([0, 0])
  })

  test('one that is given up while it waits is never begun', async () => {
    const b = new Bench({ snapshotSendsMax: 1 })
    await b.add(2)
    const waiting = await b.add(3)
    waiting.abort('the leadership ended')
    answer(await b.call(0), 100, true)
    await until('both are over', () => b.ends.length === 2)
    expect(b.calls).toHaveLength(1)
  })

  test('one whose snapshot cannot be opened fails alone', async () => {
    const b = new Bench({ snapshotSendsMax: 1 })
    b.sends.add({ toNode: 2, open: () => Promise.reject(new Error('gone')), ended: end => b.ends.push(end) })
    await b.add(3)
    answer(await b.call(0), 100, true)
    await until('both are over', () => b.ends.length === 2)
    expect(b.ends).toEqual([{ status: 'failed', reason: 'gone' }, { status: 'finished' }])
  })
})

test('the rate holds over everybody who asks, and idle time is not saved up', () => {
  const timers = new ManualTimers()
  const rate = new RateLimit(timers, 1_000)
  const runs: number[] = []
  timers.advance(60_000)
  for (let i = 0; i < 4; i++) rate.after(500, () => runs.push(timers.monotonicMs() - 60_000))
  timers.advance(10_000)
  expect(runs).toEqual([0, 500, 1_000, 1_500])
})

test('a transfer is not faster than the rate', async () => {
  const b = new Bench({ snapshotBytesPerSecondMax: 20 })
  await b.add(2)
  const call = await b.call(0)
  answer(call, 0)
  for (let second = 0; second < 4; second++) {
    await settled(b)
    expect(call.chunks.length).toBe(1 + 2 * second)
    for (let i = 0; i < 2; i++) {
      b.timers.advance(500)
      await settled(b)
      answer(call, call.chunks.at(-1)!.offset)
    }
  }
})

test.each([
  [{ snapshotEntries: 0 }, 'snapshotEntries is 0, it must be at least 1'],
  [{ snapshotBytesPerSecondMax: Number.NaN }, 'snapshotBytesPerSecondMax is NaN, it must be at least 1'],
  [{ snapshotChunkBytes: 1e9 }, 'snapshotChunkBytes is 1000000000, it must be at most 8388608'],
])('options that cannot work are refused by name: %o', (options, message) => {
  expect(() => resolveSnapshotOptions(options)).toThrow(message)
})
