import { expect, test } from 'vitest'
import { entryOfFrame } from '../entry-frame.ts'
import { joinedFrames } from '../testing/joined-frames.ts'
import type { GroupMessage } from '../transport.ts'
import { SendQueue } from './send-queue.ts'

const MIB = 1024 * 1024

function append(index: number, bytes: number): GroupMessage {
  const entries = joinedFrames(1, index, 1, bytes).map(entryOfFrame)
  const envelope = { type: 'append', from: 1, to: 2, term: 3, prevIndex: index - 1, prevTerm: 3, commit: 0 } as const
  return { group: 1, message: { ...envelope, entries } }
}

/** A stream that says when what it was given is flushed. */
class Stream {
  readonly batches: (readonly GroupMessage[])[] = []
  readonly queue: SendQueue<GroupMessage>
  readonly #flushes: (() => void)[] = []

  constructor(queueBytesMax: number) {
    this.queue = new SendQueue<GroupMessage>({
      queueBytesMax,
      encode: messages => {
        this.batches.push(messages)
        let bytes = 0
        for (const { message } of messages) if (message.type === 'append') bytes += message.entries[0]!.size
        return Buffer.alloc(bytes)
      },
      write: (_bytes, flushed) => this.#flushes.push(flushed),
    })
  }

  flushOne(): void {
    this.#flushes.shift()?.()
  }
}

test('a stream that flushes nothing is given 4 MiB and a message, the rest waits in order and together', () => {
  const stream = new Stream(64 * MIB)
  for (let i = 0; i < 20; i++) expect(stream.queue.push([append(10 + i, 900_000)])).toBe(true)
  expect(stream.batches).toHaveLength(5)
  for (let i = 0; i < 200; i++) stream.queue.push([append(100 + i, 1_000)])
  for (let i = 0; i < 25; i++) stream.flushOne()
  const indexes = stream.batches.flat().map(({ message }) => (message.type === 'append' ? message.prevIndex + 1 : 0))
  expect(indexes).toEqual([...indexes].sort((a, b) => a - b))
  expect(indexes).toHaveLength(220)
  expect(stream.batches.length).toBeLessThanOrEqual(21)
  for (let i = 0; i < 25; i++) stream.flushOne()
  expect(stream.queue.queuedBytes).toBe(0)
})

test('what does not fit is refused as a whole; one message that is larger than all is taken where nothing waits', () => {
  const stream = new Stream(1_000_000)
  expect(stream.queue.push([append(10, 2_000_000)])).toBe(true)
  expect(stream.queue.push([append(11, 10), append(12, 10)])).toBe(false)
  stream.flushOne()
  expect(stream.queue.push([append(11, 400_000)])).toBe(true)
  expect(stream.queue.push([append(12, 300_000), append(13, 400_000)])).toBe(false)
  expect(stream.queue.push([append(12, 300_000)])).toBe(true)
  expect(stream.batches.flat()).toHaveLength(3)
})

test('a queue that is closed takes nothing, and late flushes change nothing', () => {
  const stream = new Stream(64 * MIB)
  for (let i = 0; i < 9; i++) stream.queue.push([append(10 + i, MIB)])
  const given = stream.batches.length
  stream.queue.close()
  for (let i = 0; i < 9; i++) stream.flushOne()
  expect([stream.queue.push([append(30, 10)]), stream.batches.length]).toEqual([false, given])
})
