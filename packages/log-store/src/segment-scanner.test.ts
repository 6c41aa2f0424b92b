import { FrameCodec, FrameKind, NO_PRODUCER, sealFrame } from '@millrace/record'
import { expect, test } from 'vitest'
import { copyOf } from './segment-scanner.ts'

test('the copy of a frame shares nothing with the window that it was read in, a Buffer', () => {
  const about = { kind: FrameKind.records, codec: FrameCodec.none, recordCount: 1, producerId: NO_PRODUCER }
  const body = { ...about, producerEpoch: 0, sequence: 0, payload: new Uint8Array(50).fill(3) }
  const at = { group: 1, index: 1, term: 1, baseOffset: 0, timestamp: 1, previousChain: 0 }
  const sealed = sealFrame(body, at)
  const window = Buffer.alloc(100_000)
  window.set(sealed.bytes, 500)
  const bytes = window.subarray(500, 500 + sealed.bytes.length)
  const copy = copyOf({ ...sealed, bytes })
  window.fill(0)
  expect([...copy.bytes]).toEqual([...sealed.bytes])
  expect(copy.bytes.buffer.byteLength).toBe(sealed.bytes.length)
})
