/** What every state store must do; run against each implementation. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openLmdbStateStore } from './lmdb-state-store.ts'
import { MemoryStateStore } from './memory-state-store.ts'
import type { Checkpoint, StateStore } from './state-store.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function checkpoint(index: number, puts: Record<string, string>, rest: Partial<Checkpoint> = {}): Checkpoint {
  return {
    applied: { index, term: 1 },
    full: false,
    puts: Object.entries(puts).map(([key, value]) => ({ key: bytes(key), value: bytes(value) })),
    deletes: [],
    ...rest,
  }
}

function contents(store: StateStore, group: number): Record<string, string> | undefined {
  const state = store.load(group)
  if (state === undefined) return undefined
  const text = (b: Uint8Array): string => new TextDecoder().decode(b)
  return Object.fromEntries(state.entries.map(e => [text(e.key), text(e.value)]))
}

interface Subject {
  readonly name: string
  open(folder: string): StateStore
  /** Ends the process in the middle of things and starts it again; what was flushed must be there. */
  reopen(store: StateStore, folder: string): Promise<StateStore>
}

const subjects: readonly Subject[] = [
  {
    name: 'LMDB',
    open: openLmdbStateStore,
    reopen: async (store, folder) => {
      await store.close()
      return openLmdbStateStore(folder)
    },
  },
  {
    name: 'memory',
    open: () => new MemoryStateStore(),
    reopen: store => Promise.resolve((store as MemoryStateStore).crash()),
  },
]

describe.each(subjects)('state store: $name', subject => {
  let folder: string
  let store: StateStore
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-state-'))
    store = subject.open(folder)
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true, force: true })
  })

  test('a group without a checkpoint has none', () => {
    expect(store.load(3)).toBeUndefined()
  })

  test('state and position are there together after flush and restart', async () => {
    await store.commit(1, checkpoint(7, { a: '1', b: '2' }, { full: true }))
    await store.flush()
    store = await subject.reopen(store, folder)
    expect(store.load(1)?.applied).toEqual({ index: 7, term: 1 })
    expect(contents(store, 1)).toEqual({ a: '1', b: '2' })
  })

  test('a partial checkpoint changes only what it names', async () => {
    await store.commit(1, checkpoint(7, { a: '1', b: '2', c: '3' }, { full: true }))
    await store.commit(1, checkpoint(9, { b: 'two', d: '4' }, { deletes: [bytes('c'), bytes('nothing')] }))
    await store.flush()
    store = await subject.reopen(store, folder)
    expect(contents(store, 1)).toEqual({ a: '1', b: 'two', d: '4' })
    expect(store.load(1)?.applied.index).toBe(9)
  })

  test('a full checkpoint leaves nothing of the old one', async () => {
    await store.commit(1, checkpoint(7, { a: '1', b: '2' }, { full: true }))
    await store.commit(1, checkpoint(8, { z: '26' }, { full: true }))
    expect(contents(store, 1)).toEqual({ z: '26' })
  })

  test('a partial checkpoint onto nothing is refused and changes nothing', async () => {
    await expect(store.commit(1, checkpoint(7, { a: '1' }))).rejects.toMatchObject({ code: 'MISSING' })
    expect(store.load(1)).toBeUndefined()
  })

  test('groups do not touch each other, however close their ids', async () => {
    for (const group of [0, 1, 255, 256, 2 ** 40]) {
      await store.commit(group, checkpoint(group + 1, { k: `${group}` }, { full: true }))
    }
    await store.drop(255)
    expect(store.load(255)).toBeUndefined()
    for (const group of [0, 1, 256, 2 ** 40]) expect(contents(store, group)).toEqual({ k: `${group}` })
  })

  test('a checkpoint that is refused takes no other with it', async () => {
    const good = store.commit(1, checkpoint(1, { a: '1' }, { full: true }))
    const bad = store.commit(2, checkpoint(1, { a: '1' }))
    const late = store.commit(3, checkpoint(1, { a: '1' }, { full: true }))
    expect(await Promise.allSettled([good, bad, late])).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'MISSING' } },
      { status: 'fulfilled' },
    ])
    expect([1, 2, 3].map(group => contents(store, group))).toEqual([{ a: '1' }, undefined, { a: '1' }])
  })

  test('checkpoints of many groups at once are all whole', async () => {
    const groups = Array.from({ length: 50 }, (_, i) => i + 1)
    await Promise.all(groups.map(g => store.commit(g, checkpoint(g, { a: `${g}`, b: 'x' }, { full: true }))))
    await Promise.all(groups.map(g => store.commit(g, checkpoint(g + 1, { a: `${g}!` }))))
    for (const g of groups) expect(contents(store, g)).toEqual({ a: `${g}!`, b: 'x' })
  })
})

describe('memory state store', () => {
  test('a crash keeps a prefix of the commits that were not flushed', async () => {
    const store = new MemoryStateStore()
    await store.commit(1, checkpoint(1, { a: '1' }, { full: true }))
    await store.flush()
    await store.commit(1, checkpoint(2, { a: '2' }))
    await store.commit(1, checkpoint(3, { a: '3' }))
    expect(contents(store, 1)).toEqual({ a: '3' })
    expect([0, 1, 2].map(kept => contents(store.crash(kept), 1)?.a)).toEqual(['1', '2', '3'])
  })

  test('a value that changed on the disk is refused by name', async () => {
    const store = new MemoryStateStore()
    await store.commit(1, checkpoint(1, { a: '1', b: '2' }, { full: true }))
    store.damage(1, values => {
      const [key, value] = [...values].at(-1)!
      const flipped = value.slice()
      flipped[flipped.length - 1]! ^= 1
      values.set(key, flipped)
    })
    expect(() => store.load(1)).toThrow(expect.objectContaining({ code: 'CORRUPT' }))
  })

  test('a value that is missing, or older than the rest, is refused by name', async () => {
    const store = new MemoryStateStore()
    await store.commit(1, checkpoint(1, { a: '1', b: '2' }, { full: true }))
    const old = new Map<string, Uint8Array>()
    store.damage(1, values => {
      for (const [key, value] of values) old.set(key, value)
    })
    await store.commit(1, checkpoint(2, { b: 'two' }))
    const key = [...old.keys()].at(-1)!
    store.damage(1, values => values.set(key, old.get(key)!))
    expect(() => store.load(1)).toThrow(expect.objectContaining({ code: 'CORRUPT' }))
    store.damage(1, values => values.delete(key))
    expect(() => store.load(1)).toThrow(expect.objectContaining({ code: 'CORRUPT' }))
  })
})

describe('LMDB state store', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace.state-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test.each([
    ['of other bytes', Buffer.alloc(32_768, 7)],
    ['of zeroes', Buffer.alloc(32_768)],
    ['of ten bytes', Buffer.alloc(10, 1)],
  ])('a file %s is refused with the folder and what to do', (_name, content) => {
    writeFileSync(join(folder, 'data.mdb'), content)
    expect(() => openLmdbStateStore(folder)).toThrow(
      expect.objectContaining({ code: 'UNREADABLE', message: expect.stringContaining(folder) }),
    )
  })

  test('a file that was cut short is refused', async () => {
    const store = openLmdbStateStore(folder)
    for (let i = 0; i < 5; i++)
      await store.commit(1, checkpoint(i, { [`k${i}`]: 'v'.repeat(9_000) }, { full: i === 0 }))
    await store.close()
    const file = join(folder, 'data.mdb')
    writeFileSync(file, readFileSync(file).subarray(0, 8_192))
    expect(() => openLmdbStateStore(folder)).toThrow(expect.objectContaining({ code: 'UNREADABLE' }))
  })

  test('a bit that flipped in a value is found when it is read back', async () => {
    const store = openLmdbStateStore(folder)
    await store.commit(1, checkpoint(1, { key: 'needle-in-the-page' }, { full: true }))
    await store.close()
    const file = join(folder, 'data.mdb')
    const content = readFileSync(file)
    for (let at = content.indexOf('needle'); at >= 0; at = content.indexOf('needle', at + 1)) content[at]! ^= 1
    writeFileSync(file, content)
    const reopened = openLmdbStateStore(folder)
    expect(() => reopened.load(1)).toThrow(expect.objectContaining({ code: 'CORRUPT' }))
    await reopened.drop(1)
    expect(reopened.load(1)).toBeUndefined()
    await reopened.close()
  })
})
