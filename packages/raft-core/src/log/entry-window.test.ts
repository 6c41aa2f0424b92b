import { describe, expect, it } from 'vitest'
import type { Entry } from '../entry.ts'
import { EntryWindow } from './entry-window.ts'

function entries(from: number, to: number, size = 10): Entry<string>[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    index: from + i,
    term: 1,
    kind: 'normal',
    size,
    payload: `${from + i}`,
  }))
}

describe('EntryWindow', () => {
  it('hands out the references that it was given', () => {
    const window = new EntryWindow<string>(5)
    const given = entries(5, 9)
    window.append(given)
    expect(window.slice(6, 8, 1_000)[0]).toBe(given[1])
    expect(window.get(9)).toBe(given[4])
    expect(window.get(4)).toBeUndefined()
    expect(window.get(10)).toBeUndefined()
  })

  it('slices at most so many bytes, but at least one entry', () => {
    const window = new EntryWindow<string>(1)
    window.append(entries(1, 9))
    expect(window.slice(1, 10, 35)).toHaveLength(3)
    expect(window.slice(1, 10, 1)).toHaveLength(1)
    expect(window.slice(8, 100, 1_000)).toHaveLength(2)
  })

  it('evicts only what is durable', () => {
    const window = new EntryWindow<string>(1)
    window.append(entries(1, 9))
    window.evict(4, 20)
    expect(window.first).toBe(5)
    window.evict(9, 20)
    expect(window.first).toBe(8)
    expect(window.bytes).toBe(20)
  })

  it('starts anew where a truncation reaches below it', () => {
    const window = new EntryWindow<string>(1)
    window.append(entries(1, 9))
    window.evict(9, 20)
    window.truncateFrom(3)
    expect([window.first, window.end, window.bytes]).toEqual([3, 3, 0])
    window.append(entries(3, 4))
    expect(window.end).toBe(5)
  })

  it('forgets a dropped prefix and keeps the rest', () => {
    const window = new EntryWindow<string>(1)
    window.append(entries(1, 9))
    window.dropTo(3)
    expect(window.slice(4, 6, 1_000).map(entry => entry.index)).toEqual([4, 5])
    window.dropTo(9)
    expect([window.first, window.end]).toEqual([10, 10])
  })
})
