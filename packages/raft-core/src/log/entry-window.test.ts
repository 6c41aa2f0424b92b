import { describe, expect, it } from 'vitest'
import type { Entry } from '../entry.ts'
import { EntryWindow } from './entry-window.ts'

/** What one test needs of its host, which the types of this package do not know. */
interface Host {
  setTimeout(run: () => void, ms: number): void
  readonly process: {
    getBuiltinModule(name: 'node:v8'): { setFlagsFromString(flag: string): void }
    getBuiltinModule(name: 'node:vm'): { runInNewContext(code: string): () => void }
  }
}

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
  it.each(['evict', 'dropTo'] as const)('keeps no reference to what %s drops', async how => {
    const window = new EntryWindow<string>(1)
    const given = appendWeakly(window, 9)
    if (how === 'evict') window.evict(9, 50)
    else window.dropTo(4)
    expect(window.first).toBe(5)
    expect(await indexesAlive(given)).toEqual([5, 6, 7, 8, 9])
    expect(window.end).toBe(10)
  })
})

/** Appends entries that only the window holds from then on. */
function appendWeakly(window: EntryWindow<string>, to: number): WeakRef<Entry<string>>[] {
  const given = entries(1, to)
  window.append(given)
  return given.map(entry => new WeakRef(entry))
}

/** Indexes of the entries that a garbage collection leaves. */
async function indexesAlive(given: readonly WeakRef<Entry<string>>[]): Promise<number[]> {
  const { process, setTimeout } = globalThis as unknown as Host
  process.getBuiltinModule('node:v8').setFlagsFromString('--expose-gc')
  const collect = process.getBuiltinModule('node:vm').runInNewContext('gc')
  // What a WeakRef was made of or gave lives until the end of the job.
  await new Promise<void>(resolve => setTimeout(resolve, 0))
  collect()
  return given.flatMap(entry => entry.deref()?.index ?? [])
}
