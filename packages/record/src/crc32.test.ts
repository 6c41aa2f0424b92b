import { crc32 as native } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32 } from './crc32-portable.ts'

test('the portable checksum is the native one, also continued', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 50 }), (a, b) => {
      expect(crc32(a)).toBe(native(a))
      expect(crc32(b, crc32(a))).toBe(native(b, native(a)))
    }),
  )
})
