import { type GroupLog, type LogPosition, positionAfter } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { type Frame, FrameKind, sealFrame } from '@millrace/record'
import { describe, expect, test } from 'vitest'
import { birthRecord } from './birth-record.ts'
import { plainBody } from './entry-frame.ts'
import type { FrameAnswer } from './frame-calls.ts'
import { fetchHole, type HoleFetchOptions, type HoleSource } from './hole-fetch.ts'
import { configurationOf } from './testing/test-cluster.ts'

const GROUP = 7
const PAYLOAD_BYTES = 1_000
const base = birthRecord({
  ...{ clusterId: 't', group: GROUP, createIndex: 1, createTimestamp: 1 },
  configuration: configurationOf([1, 2, 3]),
})

/** Frames that follow `at`; what they hold depends on `seed`. */
function framesAfter(at: LogPosition, count: number, seed: number, term = 2): Frame[] {
  const frames: Frame[] = []
  for (let i = 0; i < count; i++) {
    const previousChain = frames.at(-1)?.header.chain ?? at.chain
    const body = plainBody(FrameKind.command, new Uint8Array(PAYLOAD_BYTES).fill(seed + i))
    const place = { group: GROUP, index: at.index + 1 + i, term, baseOffset: 0, timestamp: at.timestamp, previousChain }
    frames.push(sealFrame(body, place))
  }
  return frames
}

/** A log of the entries 2 to 41 with a hole of 11 to 30. */
async function damagedLog(): Promise<{ log: GroupLog; frames: readonly Frame[] }> {
  const store = new MemoryLogStore()
  const log = await store.create(GROUP, { replicaId: 11, base })
  const frames = framesAfter(base, 40, 0)
  await new Promise<void>(done => log.write({ frames, commit: 41 }, done))
  store.damage(GROUP, 11, 30)
  return { log, frames }
}

interface Peer extends HoleSource {
  readonly asked: (readonly [first: number, bytesMax: number])[]
}

/** A peer with these frames; `answer` may give something else. */
function peerWith(frames: readonly Frame[], answer?: (question: number) => FrameAnswer | undefined): Peer {
  const asked: (readonly [number, number])[] = []
  return {
    asked,
    ask: async ({ first, last, bytesMax }) => {
      asked.push([first, bytesMax])
      const other = answer?.(asked.length)
      if (other !== undefined) return other
      const from = frames.findIndex(({ header }) => header.index === first)
      const count = Math.max(1, Math.floor(bytesMax / frames[0]!.bytes.length))
      const sent = frames.slice(from, from + count).filter(({ header }) => header.index <= last.index)
      return { status: 'frames', frames: sent }
    },
  }
}

function fetching(log: GroupLog, source: HoleSource, over: Partial<HoleFetchOptions> = {}) {
  const patched: number[][] = []
  const options = {
    ...{ log, source, ...over },
    patched: (frames: readonly Frame[]) => void patched.push(frames.map(({ header }) => header.index)),
  }
  return { patched, end: fetchHole(options, log.holes[0]!) }
}

function ranges(log: GroupLog): (readonly [number, number])[] {
  return log.holes.map(({ before, last }) => [before.index + 1, last.index])
}

describe('a hole', () => {
  test('is filled with what a peer has, in pieces', async () => {
    const { log, frames } = await damagedLog()
    const peer = peerWith(frames)
    const { end, patched } = fetching(log, {
      ask: request => peer.ask({ ...request, bytesMax: 3 * frames[0]!.bytes.length }),
    })
    expect(await end).toBe('repaired')
    expect(patched).toEqual([frames.slice(9, 29).map(({ header }) => header.index)])
    expect(peer.asked.map(([first]) => first)).toEqual([11, 14, 17, 20, 23, 26, 29])
    expect(log.holes).toEqual([])
    expect(await log.read(11, 31, 1 << 20)).toEqual(frames.slice(9, 29))
  })

  test('that is longer than what may be held is followed to its end first, and then filled part by part', async () => {
    const { log, frames } = await damagedLog()
    const partBytesMax = 8 * frames[0]!.bytes.length
    const peer = peerWith(frames)
    const { end, patched } = fetching(log, peer, { partBytesMax })
    expect(await end).toBe('repaired')
    expect(patched.map(part => [part[0], part.at(-1)])).toEqual([
      [11, 18],
      [19, 26],
      [27, 30],
    ])
    expect(log.holes).toEqual([])
    expect(await log.read(11, 31, 1 << 20)).toEqual(frames.slice(9, 29))
  })

  test('is not touched by frames that do not lead to its last entry, however long', async () => {
    const { log, frames } = await damagedLog()
    // Another history, which joins on the left: the same terms and lengths, and other content.
    const other = [...frames.slice(0, 9), ...framesAfter(positionAfter(frames[8]!), 31, 99)]
    for (const partBytesMax of [8 * frames[0]!.bytes.length, 1 << 20]) {
      const { end, patched } = fetching(log, peerWith(other), { partBytesMax })
      expect(await end).toBe('differs')
      expect(patched).toEqual([])
      expect(ranges(log)).toEqual([[11, 30]])
    }
  })

  test('is not touched by frames that do not join its start', async () => {
    const { log, frames } = await damagedLog()
    const other = framesAfter({ ...positionAfter(frames[8]!), chain: 5 }, 20, 9)
    expect(await fetching(log, peerWith(other)).end).toBe('differs')
    expect(ranges(log)).toEqual([[11, 30]])
  })

  test('keeps the parts that are filled when the peer changes its mind, and takes nothing else from it', async () => {
    const { log, frames } = await damagedLog()
    const partBytesMax = 8 * frames[0]!.bytes.length
    const other = framesAfter(positionAfter(frames[16]!), 12, 99)
    // Three questions to follow the chain, one for the first part; then it says something else.
    const peer = peerWith(frames, question => (question === 5 ? { status: 'frames', frames: other } : undefined))
    const { end, patched } = fetching(log, peer, { partBytesMax })
    expect(await end).toBe('differs')
    expect(patched).toEqual([[11, 12, 13, 14, 15, 16, 17, 18]])
    expect(ranges(log)).toEqual([[19, 30]])
    expect(await fetching(log, peerWith(frames)).end).toBe('repaired')
    expect(log.holes).toEqual([])
  })

  test('that was replaced meanwhile is left alone', async () => {
    const { log, frames } = await damagedLog()
    const replacement = framesAfter(positionAfter(frames[8]!), 25, 50, 3)
    const peer = peerWith(frames, () => {
      log.write({ frames: replacement, commit: 10 }, () => undefined)
      return undefined
    })
    expect(await fetching(log, peer).end).toBe('gone')
    expect(await log.read(11, 12, 1)).toEqual([replacement[0]])
  })

  test.each(['busy', 'absent', 'damaged', 'differs'] as const)('stays where a peer answers %s', async status => {
    const { log, frames } = await damagedLog()
    expect(
      await fetching(
        log,
        peerWith(frames, () => ({ status })),
      ).end,
    ).toBe(status)
    expect(
      await fetching(
        log,
        peerWith(frames, () => ({ status: 'frames', frames: [] })),
      ).end,
    ).toBe('absent')
    expect(ranges(log)).toEqual([[11, 30]])
  })
})
