import { expect, test } from 'vitest'
import * as node from './zstd-node.ts'
import * as portable from './zstd-portable.ts'

test('without zstd the error says what to do', () => {
  expect(portable.zstdSupported).toBe(false)
  expect(() => portable.zstdDecompress(new Uint8Array(1), 1)).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringMatching(/read as RECORDS/) }),
  )
})

test('with it, bytes come back', () => {
  const text = Buffer.from('abc'.repeat(100))
  expect(Buffer.from(node.zstdDecompress(node.zstdCompress(text), 300)).equals(text)).toBe(true)
  expect(() => node.zstdDecompress(node.zstdCompress(text), 299)).toThrow()
})
