import { expect, test } from 'vitest'
import { EnvelopeCount } from './envelope-count.ts'

function envelope(length: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(5 + length, 0x7f)
  bytes[0] = flags
  bytes.writeUInt32BE(length, 1)
  return bytes
}

const MESSAGES = [envelope(0), envelope(3), envelope(70_000), envelope(1, 1), envelope(2, 2)]

test.each([1, 2, 5, 6, 7, 1_000, 100_000])('messages are counted in pieces of %i bytes', size => {
  const count = new EnvelopeCount()
  const bytes = Buffer.concat(MESSAGES)
  for (let at = 0; at < bytes.length; at += size) count.push(bytes.subarray(at, at + size))
  expect(count).toMatchObject({ messages: MESSAGES.length, lost: false })
})

test('text, or a stream that is cut into inside of a message, is no stream of messages', () => {
  const count = new EnvelopeCount()
  count.push(Buffer.from('{"records": 5}'))
  expect(count.lost).toBe(true)
  const late = new EnvelopeCount()
  late.push(envelope(100).subarray(50))
  expect(late.lost).toBe(true)
})
