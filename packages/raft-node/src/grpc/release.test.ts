import { expect, test } from 'vitest'
import { release } from './release.ts'

test('the memory of a large message is freed, with or without a short prefix', () => {
  const whole = Buffer.allocUnsafe(100_000)
  expect([release(whole), whole.length, whole.buffer.byteLength]).toEqual([true, 0, 0])
  const behindPrefix = Buffer.allocUnsafe(100_005).subarray(5)
  expect([release(behindPrefix), behindPrefix.length]).toEqual([true, 0])
})

test('what may have others beside it in the same memory is left alone', () => {
  const shared = Buffer.alloc(200_000, 7)
  for (const part of [shared.subarray(0, 100_000), shared.subarray(100_000), shared.subarray(17)])
    expect(release(part)).toBe(false)
  const small = Buffer.from('small')
  expect(release(small)).toBe(false)
  expect([shared.at(-1), small.toString()]).toEqual([7, 'small'])
})
