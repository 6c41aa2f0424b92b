import { describe, expect, it } from 'vitest'
import { formatBytes, formatCount, formatDuration, parseCount, parseDuration, parseSize } from './quantities.ts'

describe('quantities', () => {
  it('reads sizes and durations as people write them', () => {
    expect([parseSize('4096'), parseSize('128MiB'), parseSize('1.5 GB')]).toEqual([4096, 134_217_728, 1.5e9])
    expect([parseDuration('250'), parseDuration('90m'), parseDuration('7d')]).toEqual([250, 5_400_000, 604_800_000])
  })

  it.each(['', '-1', 'x', '12 parsecs', '1mib'])('refuses the size "%s" and names the units', text => {
    expect(() => parseSize(text)).toThrow(`"${text}" is not a size such as 128MiB; units: B, KB`)
  })

  it('bounds counts by name', () => {
    expect(parseCount('3', '--nodes', 1, 9)).toBe(3)
    expect(() => parseCount('10', '--nodes', 1, 9)).toThrow('--nodes: "10" is not a whole number from 1 to 9')
    expect(() => parseCount('1e3', '--count', 1)).toThrow('--count: "1e3" is not a whole number from 1 up')
  })

  it('writes them short', () => {
    expect([0, 1023, 1024, 1_500_000, 3 * 2 ** 40].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.4 MiB',
      '3.0 TiB',
    ])
    expect([450, 1500, 60_000, 5_400_000, 604_800_000].map(formatDuration)).toEqual([
      '450ms',
      '1.5s',
      '1m',
      '90m',
      '7d',
    ])
    expect(formatCount(1_234_567)).toBe('1,234,567')
  })
})
