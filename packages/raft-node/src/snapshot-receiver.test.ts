import { MemorySnapshotStore } from '@millrace/log-store/memory'
import { crc32 } from '@millrace/record'
import { describe, expect, test } from 'vitest'
import { BIRTH_INDEX } from './birth-record.ts'
import type { SnapshotAnswer, SnapshotChunk, SnapshotOffer } from './snapshot-calls.ts'
import { contentOf } from './snapshot-content.ts'
import { SnapshotReceiver } from './snapshot-receiver.ts'
import { ManualTimers } from './testing/manual-timers.ts'
import { snapshotOffer } from './testing/recording-handler.ts'
import { until } from './testing/until.ts'

const CONTENT = Uint8Array.from({ length: 10_000 }, (_, at) => (at * 7) >> 2)
const CHUNK = 3_000

function offerOf(content: Uint8Array, index = 50, term = 3): SnapshotOffer {
  const offer = snapshotOffer(content.length, crc32(content))
  return { ...offer, term, snapshotId: `id-${index}-${crc32(content)}`, info: { ...offer.info, index, term: 2 } }
}

function chunk(content: Uint8Array, offset: number, length = CHUNK): SnapshotChunk {
  const data = content.slice(offset, offset + length)
  return { offset, data, crc: crc32(data), done: offset + data.length === content.length }
}

/** A receiver of replica 2, whose peers are on nodes of their own id. */
class Bench {
  readonly store = new MemorySnapshotStore()
  readonly timers = new ManualTimers()
  readonly delivered: SnapshotOffer[] = []
  term = 3
  commit = 10
  readonly receiver: SnapshotReceiver

  constructor(withStore = true) {
    this.receiver = new SnapshotReceiver({
      ...{ replica: 2, clock: this.timers, store: withStore ? this.store : undefined },
      term: () => this.term,
      commit: () => this.commit,
      admits: (replica, node) => replica === node,
      deliver: offer => this.delivered.push(offer),
      received: () => undefined,
    })
  }

  call(offer: SnapshotOffer, fromNode = 1): BenchCall {
    return new BenchCall(this.receiver, offer, fromNode)
  }

  async content(): Promise<Uint8Array | undefined> {
    const reader = await this.store.openNewest()
    if (reader === null) return undefined
    const pieces: Uint8Array[] = []
    for await (const piece of contentOf(reader)) pieces.push(piece)
    return Buffer.concat(pieces)
  }
}

class BenchCall {
  readonly answers: SnapshotAnswer[] = []
  readonly #incoming: ReturnType<SnapshotReceiver['offered']>

  constructor(receiver: SnapshotReceiver, offer: SnapshotOffer, fromNode: number) {
    this.#incoming = receiver.offered(fromNode, offer, answer => this.answers.push(answer))
  }

  async send(sent: SnapshotChunk): Promise<SnapshotAnswer> {
    await this.answered()
    const before = this.answers.length
    this.#incoming.chunk(sent)
    await until('an answer comes', () => this.answers.length > before)
    return this.answers.at(-1)!
  }

  /** The first answer. */
  async answered(): Promise<SnapshotAnswer> {
    await until('an answer comes', () => this.answers.length > 0)
    return this.answers[0]!
  }

  /** Sends a chunk and does not wait. */
  push(sent: SnapshotChunk): void {
    this.#incoming.chunk(sent)
  }

  break(): void {
    this.#incoming.ended()
  }
}

async function sendAll(call: BenchCall, content: Uint8Array, from = 0): Promise<SnapshotAnswer> {
  let last = await call.answered()
  for (let offset = from; offset < content.length; offset += CHUNK) last = await call.send(chunk(content, offset))
  return last
}

describe('a snapshot', () => {
  test('is handed over when it is whole and durable, not before', async () => {
    const b = new Bench()
    const offer = offerOf(CONTENT)
    const call = b.call(offer)
    expect(await call.answered()).toEqual({ term: 3, received: 0, done: false })
    expect(await call.send(chunk(CONTENT, 0))).toEqual({ term: 3, received: 3_000, done: false })
    expect(b.receiver.progress).toEqual({ index: 50, bytes: 3_000, bytesTotal: 10_000 })
    expect([b.delivered, await b.content()]).toEqual([[], undefined])
    expect(await sendAll(call, CONTENT, 3_000)).toEqual({ term: 3, received: 10_000, done: true })
    expect(b.delivered).toEqual([offer])
    expect(await b.content()).toEqual(Buffer.from(CONTENT))
    expect(b.store.list()[0]).toEqual(offer.info)
  })

  test('half received is never loaded: not after a break, not by the next process', async () => {
    const b = new Bench()
    const call = b.call(offerOf(CONTENT))
    await call.send(chunk(CONTENT, 0))
    call.break()
    await b.receiver.close()
    expect([b.delivered, await b.content(), await b.store.reopen().openNewest()]).toEqual([[], undefined, null])
  })

  test('goes on where its call broke, what was on its way included', async () => {
    const b = new Bench()
    const first = b.call(offerOf(CONTENT))
    await first.send(chunk(CONTENT, 0))
    first.push(chunk(CONTENT, 3_000))
    const second = b.call(offerOf(CONTENT))
    first.break()
    const { received } = await second.answered()
    expect([3_000, 6_000]).toContain(received)
    expect(await sendAll(second, CONTENT, received)).toMatchObject({ done: true })
    expect(await b.content()).toEqual(Buffer.from(CONTENT))
  })

  test('of another leader with the same content goes on too; with other content it begins anew', async () => {
    const b = new Bench()
    await b.call(offerOf(CONTENT)).send(chunk(CONTENT, 0))
    b.term = 4
    const same = b.call({ ...offerOf(CONTENT, 50, 4), from: 5 }, 5)
    expect(await same.answered()).toMatchObject({ received: 3_000 })
    const other = CONTENT.toReversed()
    const newer = b.call({ ...offerOf(other, 60, 4), from: 5 }, 5)
    expect(await newer.answered()).toMatchObject({ received: 0 })
    expect(await sendAll(newer, other)).toMatchObject({ done: true })
    expect(b.store.list().map(info => info.index)).toEqual([60])
  })

  test('that is here already is handed over without a byte', async () => {
    const b = new Bench()
    await sendAll(b.call(offerOf(CONTENT)), CONTENT)
    expect(await b.call(offerOf(CONTENT)).answered()).toEqual({ term: 3, received: 10_000, done: true })
    expect(b.delivered).toHaveLength(2)
  })

  test('that is older than what is committed here is handed over without a byte, and nothing is stored', async () => {
    const b = new Bench()
    b.commit = 50
    expect(await b.call(offerOf(CONTENT)).answered()).toMatchObject({ done: true })
    expect([b.delivered.length, await b.content()]).toEqual([1, undefined])
  })

  test('without content ends with an empty chunk', async () => {
    const b = new Bench()
    const empty = new Uint8Array(0)
    expect(await b.call(offerOf(empty)).send(chunk(empty, 0))).toMatchObject({ done: true })
    expect(b.store.list()).toHaveLength(1)
  })

  test('of a birth needs no store; any other does', async () => {
    const b = new Bench(false)
    const birth = offerOf(new Uint8Array(0), BIRTH_INDEX)
    b.commit = 0
    expect(await b.call(birth).answered()).toMatchObject({ done: true })
    expect(await b.call(offerOf(CONTENT)).answered()).toMatchObject({ refused: 'this state machine has no snapshots' })
  })
})

describe('refused is', () => {
  test('an offer of a leader of an earlier term, of a stranger, and for another replica', async () => {
    const b = new Bench()
    const refusals = [
      b.call(offerOf(CONTENT, 50, 2)),
      b.call(offerOf(CONTENT), 4),
      b.call({ ...offerOf(CONTENT), to: 9 }),
    ].map(async call => (await call.answered()).refused)
    expect(await Promise.all(refusals)).toEqual([
      'its sender leads no longer',
      'replica 1 is not on node 4',
      'it is for replica 9, here is 2',
    ])
  })

  test('a chunk of a leader that was deposed during the transfer', async () => {
    const b = new Bench()
    const call = b.call(offerOf(CONTENT))
    await call.send(chunk(CONTENT, 0))
    b.term = 4
    expect(await call.send(chunk(CONTENT, 3_000))).toEqual({
      ...{ term: 4, received: 3_000, done: false, refused: 'its sender leads no longer' },
    })
  })

  test('the end of a snapshot whose leader was deposed while it was written', async () => {
    const b = new Bench()
    const call = b.call(offerOf(CONTENT))
    for (let offset = 0; offset < 9_000; offset += CHUNK) await call.send(chunk(CONTENT, offset))
    call.push(chunk(CONTENT, 9_000))
    b.term = 4
    await until('it is refused', () => call.answers.at(-1)!.refused !== undefined)
    expect(call.answers.at(-1)!.refused).toBe('its sender leads no longer')
    expect(b.delivered).toEqual([])
  })

  test.each([
    ['at another offset', { ...chunk(CONTENT, 3_000) }, 'offset 3000 where 0 is due'],
    ['with a wrong checksum', { ...chunk(CONTENT, 0), crc: 1 }, 'checksum of a chunk does not match'],
    ['beyond the end', chunk(new Uint8Array(10_001), 0, 10_001), 'it goes beyond the 10000 bytes of the snapshot'],
    [
      'that ends too early',
      { ...chunk(CONTENT, 0), done: true },
      'content of the snapshot does not match its checksum',
    ],
  ])('a chunk %s', async (_, bad, refused) => {
    const b = new Bench()
    expect(await b.call(offerOf(CONTENT)).send(bad)).toMatchObject({ refused })
    expect([b.delivered, await b.content()]).toEqual([[], undefined])
  })

  test('content that is not what was announced, whole as it is; the next attempt begins anew', async () => {
    const b = new Bench()
    const other = CONTENT.with(5_000, 1)
    expect((await sendAll(b.call(offerOf(CONTENT)), other)).refused).toContain('does not match its checksum')
    expect(await b.content()).toBe(undefined)
    expect(await sendAll(b.call(offerOf(CONTENT)), CONTENT)).toMatchObject({ done: true })
  })

  test('an older call, once a newer one has begun', async () => {
    const b = new Bench()
    const older = b.call(offerOf(CONTENT))
    await older.answered()
    const newer = b.call(offerOf(CONTENT))
    await newer.answered()
    older.push(chunk(CONTENT, 0))
    older.break()
    expect(older.answers.at(-1)!.refused).toBe('another transfer to this replica has begun')
    expect(await sendAll(newer, CONTENT)).toMatchObject({ done: true })
  })

  test('more than a few chunks that are not written', async () => {
    const b = new Bench()
    const call = b.call(offerOf(CONTENT))
    await call.answered()
    for (let at = 0; at < 40; at++) call.push(chunk(CONTENT, at, 1))
    expect(call.answers.at(-1)!.refused).toBe('too many chunks at once')
  })

  test('everything once the replica takes no part', async () => {
    const b = new Bench()
    const call = b.call(offerOf(CONTENT))
    await call.answered()
    await b.receiver.close()
    expect(call.answers.at(-1)!.refused).toBe('the replica takes no further part')
    expect((await b.call(offerOf(CONTENT)).answered()).refused).toBe('the replica takes no further part')
  })
})

test('a part without a call is kept for ten minutes', async () => {
  const b = new Bench()
  const call = b.call(offerOf(CONTENT))
  await call.send(chunk(CONTENT, 0))
  call.break()
  b.timers.advance(599_000)
  const again = b.call(offerOf(CONTENT))
  expect(await again.answered()).toMatchObject({ received: 3_000 })
  again.break()
  b.timers.advance(601_000)
  await until('it is dropped', () => b.receiver.progress === undefined)
  expect(await b.call(offerOf(CONTENT)).answered()).toMatchObject({ received: 0 })
})

test('a part that cannot be removed holds nothing up', async () => {
  const b = new Bench()
  const create = b.store.create.bind(b.store)
  b.store.create = async head => ({ ...(await create(head)), abort: () => Promise.reject(new Error('no such file')) })
  await b.call(offerOf(CONTENT)).send(chunk(CONTENT, 0))
  expect(await b.call(offerOf(CONTENT.toReversed(), 60)).answered()).toMatchObject({ received: 0, done: false })
  await b.receiver.close()
})

test('a full disk refuses the snapshot, and nothing else', async () => {
  const b = new Bench()
  const create = b.store.create.bind(b.store)
  b.store.create = async head => ({
    ...(await create(head)),
    write: () => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' })),
  })
  expect((await b.call(offerOf(CONTENT)).send(chunk(CONTENT, 0))).refused).toBe('no space left')
  b.store.create = create
  expect(await sendAll(b.call(offerOf(CONTENT)), CONTENT)).toMatchObject({ done: true })
})
