import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Envelope, EnvelopeReader, EnvelopeTooLongError } from './envelope-reader.ts'

function envelope(flags: number, message: Uint8Array): Uint8Array {
  const head = Buffer.alloc(5)
  head[0] = flags
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

describe('EnvelopeReader', () => {
  test('finds the same messages however the bytes are cut', () => {
    const messages = fc.array(fc.record({ flags: fc.nat(3), message: fc.uint8Array({ maxLength: 40 }) }), {
      maxLength: 8,
    })
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map(({ flags, message }) => envelope(flags, message)))
        const found: Envelope[] = []
        const reader = new EnvelopeReader(64, length => new Uint8Array(length))
        for (let at = 0, cut = 0; at < bytes.length; cut++) {
          const end = Math.min(bytes.length, at + cuts[cut % cuts.length]!)
          // A buffer of its own each time, as a socket gives it.
          reader.push(Uint8Array.from(bytes.subarray(at, end)), message => found.push(message))
          at = end
        }
        expect(found.map(({ flags, message }) => ({ flags, message: Uint8Array.from(message) }))).toEqual(sent)
        expect(reader.inside).toBe(false)
      }),
    )
  })

  test('a message in one chunk is a view, one over several chunks is copied once', () => {
    const made: number[] = []
    const reader = new EnvelopeReader(64, length => {
      made.push(length)
      return new Uint8Array(length)
    })
    const bytes = envelope(0, Uint8Array.of(1, 2, 3))
    const found: Envelope[] = []
    reader.push(bytes, message => found.push(message))
    expect(made).toEqual([])
    expect(found[0]!.message.buffer).toBe(bytes.buffer)
    reader.push(bytes.subarray(0, 6), message => found.push(message))
    expect(reader.inside).toBe(true)
    reader.push(bytes.subarray(6), message => found.push(message))
    expect(made).toEqual([3])
    expect([...found[1]!.message]).toEqual([1, 2, 3])
  })

  test('a message above the limit is refused by its header alone', () => {
    const allocate = (): Uint8Array => {
      throw new Error('room was made for it')
    }
    const reader = new EnvelopeReader(64, allocate)
    const bytes = envelope(0, new Uint8Array(65)).subarray(0, 5)
    expect(() => reader.push(bytes, () => {})).toThrow(EnvelopeTooLongError)
    const largest = new EnvelopeReader(0xffffffff, allocate)
    const found: number[] = []
    largest.push(envelope(1, new Uint8Array(0)), message => found.push(message.flags))
    expect(found).toEqual([1])
    expect(() => largest.push(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff, 1), () => {})).toThrow('room was made')
  })
})
