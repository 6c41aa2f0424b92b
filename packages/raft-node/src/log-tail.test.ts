import type { Configuration, Entry } from '@millrace/raft-core'
import { type Frame, FrameKind, sealFrame } from '@millrace/record'
import { expect, test } from 'vitest'
import { type EntryPayload, entryOfFrame, plainBody } from './entry-frame.ts'
import type { GroupConfiguration } from './group-handle.ts'
import { LogTail } from './log-tail.ts'

const BASE = { index: 1, term: 1, chain: 77, timestamp: 1_000, nextOffset: 0 }
const NOBODY = (configuration: Configuration): GroupConfiguration => ({ ...configuration, places: [] })

/** A log of one-record frames with the given terms, from index 2 on. */
function framesOf(terms: readonly number[], text = 'x'): Frame[] {
  const frames: Frame[] = []
  let chain = BASE.chain
  for (const [i, term] of terms.entries()) {
    const body = { ...plainBody(FrameKind.records, new TextEncoder().encode(`${text}${i}`)), recordCount: 1 }
    const at = { group: 7, index: 2 + i, term, baseOffset: i, timestamp: 1_000 + i, previousChain: chain }
    const frame = sealFrame(body, at)
    chain = frame.header.chain
    frames.push(frame)
  }
  return frames
}

function tailWith(frames: readonly Frame[]): LogTail {
  const tail = new LogTail(7, BASE)
  for (const frame of frames) tail.append(frame)
  return tail
}

function check(tail: LogTail, frames: readonly Frame[], from: number, previousTerm: number): string | undefined {
  return tail.check(from - 1, previousTerm, frames.slice(from - 2).map(entryOfFrame))
}

test('seals entries in order: dense offsets, chained, timestamps that never go back', () => {
  const tail = new LogTail(7, { ...BASE, timestamp: 5_000 })
  const entries = [3, 0, 2].map((recordCount, i): Entry<EntryPayload> => {
    const kind = recordCount === 0 ? FrameKind.command : FrameKind.records
    const body = { ...plainBody(kind, new Uint8Array(5)), recordCount }
    return { index: 2 + i, term: 3, kind: 'normal', size: 112, payload: body }
  })
  const frames = [tail.seal(entries[0]!, 4_000, NOBODY), tail.seal(entries[1]!, 6_000.7, NOBODY)]
  frames.push(tail.seal(entries[2]!, 5_500, NOBODY))
  expect(frames.map(frame => frame.header.baseOffset)).toEqual([0, 3, 3])
  expect(frames.map(frame => frame.header.timestamp)).toEqual([5_000, 6_000, 6_000])
  expect(entries.map(entry => entry.payload)).toEqual(frames)
  expect(tail.nextOffset).toBe(5)
  expect(new LogTail(7, BASE).check(1, 1, entries)).toBeUndefined()
  expect(() => tail.seal(entries[2]!, 1, NOBODY)).toThrow('sealed after 4')
})

test('frames that continue the log join; a message that begins earlier or is known already joins too', () => {
  const frames = framesOf([1, 1, 2, 2, 2])
  const tail = tailWith(frames.slice(0, 3))
  expect(check(tail, frames, 5, 2)).toBeUndefined()
  expect(check(tail, frames, 2, 1)).toBeUndefined()
  expect(check(tail, frames.slice(0, 2), 2, 1)).toBeUndefined()
})

test('what does not join is named', () => {
  const frames = framesOf([1, 1, 2, 2, 2])
  const tail = tailWith(frames.slice(0, 3))
  const foreign = framesOf([1, 1, 2, 2, 2], 'y')
  expect(check(tail, foreign, 5, 2)).toContain('chain does not join this log at 4')
  expect(check(tail, [...frames.slice(0, 4), foreign[4]!], 5, 2)).toContain('chain does not join the frame before')
  expect(tail.check(4, 2, [frames[4]!].map(entryOfFrame))).toContain('frame says index 6')
  const other = new LogTail(8, BASE)
  expect(other.check(1, 1, frames.map(entryOfFrame))).toContain('belongs to group 7')
  const bytes = Uint8Array.from(frames[3]!.bytes)
  bytes[105]! ^= 1
  const bad = entryOfFrame({ header: frames[3]!.header, bytes })
  expect(tail.check(4, 2, [bad])).toContain('payload checksum does not match')
})

test('a divergent tail is the core’s business: frames of another term may replace it', () => {
  const frames = framesOf([1, 1, 2, 2])
  const tail = tailWith(frames)
  const newer = framesOf([1, 1, 3, 3, 3])
  expect(check(tail, newer, 4, 1)).toBeUndefined()
  // Where the terms at the previous index differ, the core refuses the message whatever its chain says.
  expect(check(tail, newer, 5, 3)).toBeUndefined()
  for (const frame of newer.slice(2)) tail.append(frame)
  expect(tail.lastIndex).toBe(6)
  expect(tail.lastTerm).toBe(3)
  expect(() => tail.append(frames[0]!)).not.toThrow()
})

test('a long committed log keeps only what can still be replaced, and still checks what begins before it', () => {
  const frames = framesOf(new Array<number>(3_000).fill(1))
  const tail = tailWith(frames)
  tail.committed(2_500)
  expect(check(tail, frames, 2_000, 1)).toBeUndefined()
  expect(check(tail, framesOf(new Array<number>(3_000).fill(1), 'z'), 2_000, 1)).toContain('differs from this log')
  expect(() => tail.append(frames[100]!)).toThrow('outside')
})
