import { expect, test } from 'vitest'
import {
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAME_ROOM,
  FrameCodec,
  FrameKind,
  frameBytes,
  framePayload,
  isSealedInPlace,
  sealFrame,
} from './frame.ts'

const AT = { group: 7, index: 12, term: 3, baseOffset: 2 ** 40, timestamp: 1_700_000_000_000, previousChain: 99 }

function body(payload: Uint8Array, payloadOwned?: boolean) {
  const producerId = new Uint8Array(16).fill(5)
  const about = { kind: FrameKind.records, codec: FrameCodec.none, recordCount: 3, producerId, producerEpoch: 1 }
  return { ...about, sequence: 4, payload, ...(payloadOwned !== undefined && { payloadOwned }) }
}

/** A payload with that much memory before and behind it, none of it zero. */
function payloadIn(before: number, length: number, behind: number): Uint8Array {
  const memory = new Uint8Array(before + length + behind).fill(0xee)
  for (let i = 0; i < length; i++) memory[before + i] = i
  return memory.subarray(before, before + length)
}

test('a frame that is made around its payload is the one that is made of a copy', () => {
  for (let length = 0; length < 40; length++) {
    const copied = sealFrame(body(payloadIn(0, length, 0)), AT)
    const payload = payloadIn(FRAME_ROOM.before + 3, length, FRAME_ROOM.behind)
    const inPlace = sealFrame(body(payload, true), AT)
    expect([...inPlace.bytes]).toEqual([...copied.bytes])
    expect(inPlace.header).toEqual(copied.header)
    expect(inPlace.bytes.buffer).toBe(payload.buffer)
    expect(framePayload(inPlace).byteOffset).toBe(payload.byteOffset)
    expect(decodeFrameHeader(inPlace.bytes)).toEqual(copied.header)
    expect(inPlace.bytes).toHaveLength(frameBytes(length))
  }
})

test('without room, or without leave, nothing around the payload is written to', () => {
  const { before, behind } = FRAME_ROOM
  const cases = [
    body(payloadIn(before, 33, behind)),
    body(payloadIn(before, 33, behind), false),
    body(payloadIn(before - 1, 33, behind), true),
    body(payloadIn(before, 33, 6), true),
  ]
  for (const given of cases) {
    const around = new Uint8Array(given.payload.buffer).slice()
    expect(isSealedInPlace(given)).toBe(false)
    const { bytes } = sealFrame(given, AT)
    expect(bytes.buffer).not.toBe(given.payload.buffer)
    expect([...new Uint8Array(given.payload.buffer)]).toEqual([...around])
  }
  // A length that needs no padding needs no room behind.
  expect(isSealedInPlace(body(payloadIn(before, 32, 0), true))).toBe(true)
  expect(FRAME_HEADER_BYTES).toBe(before)
})
