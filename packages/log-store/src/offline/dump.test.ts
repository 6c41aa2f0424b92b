/** What a dump shows of a whole folder, of a part of it, and of damage. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { removeTemporaryFolders, temporaryFolder } from '../testing/temporary-folder.ts'
import type { DumpedFrame, DumpItem, DumpOptions } from './dump.ts'
import { dumpedItems, makeSmallFolder, openSmallStore, SMALL_FOLDER } from './testing/small-folder.ts'

const { busyGroup, quietGroup } = SMALL_FOLDER
let folder = ''

beforeAll(async () => {
  folder = join(await temporaryFolder(), 'data')
  await makeSmallFolder(folder)
})
afterAll(removeTemporaryFolders)

function dumped(options?: DumpOptions): Promise<DumpItem[]> {
  return dumpedItems(folder, options)
}

function framesOf(items: readonly DumpItem[]): DumpedFrame[] {
  return items.filter(item => item.type === 'frame')
}

test('every entry of every log, once and in order, as the store itself reads it', async () => {
  const items = await dumped()
  const store = await openSmallStore(join(folder, 'log'))
  for (const log of store.groups()) {
    const { base, end } = log
    const read = end.index > base.index ? await log.read(base.index + 1, end.index + 1, 1_000_000) : []
    const shown = framesOf(items).filter(({ header }) => header.group === log.group)
    for (const frame of read) {
      const at = shown[frame.header.index - base.index - 1]
      expect(at).toMatchObject({ header: frame.header, bytes: frame.bytes.length })
    }
    expect(shown.map(({ header }) => header.index)).toEqual(
      Array.from({ length: end.index - base.index }, (_, at) => base.index + 1 + at),
    )
  }
  await store.close()
  expect(items.filter(({ type }) => type === 'damage' || type === 'incomplete')).toEqual([])
})

test('frames are where it says, after the round and the segment they are in', async () => {
  const items = await dumped({ group: quietGroup })
  expect(items.map(({ type }) => type).join(' ')).toBe('segment round frame frame round frame frame round frame frame')
  const frame = framesOf(items)[3]!
  const file = await open(join(folder, frame.file))
  const bytes = Buffer.alloc(frame.bytes)
  await file.read(bytes, 0, bytes.length, frame.position)
  await file.close()
  expect(bytes.subarray(0, 4).toString('latin1')).toBe('MLF1')
  expect(bytes.readBigUInt64LE(32)).toBe(BigInt(frame.header.index))
  expect(frame).toMatchObject({ kind: 'records', header: { payloadLength: 700, recordCount: 1 } })
})

test('from an index on, in one group', async () => {
  const frames = framesOf(await dumped({ group: busyGroup, from: 12 }))
  expect(frames[0]).toMatchObject({ kind: 'configuration', header: { index: 12, term: 3 } })
  expect(framesOf(await dumped({ group: busyGroup, from: 1_000 }))).toEqual([])
  await expect(dumped({ group: 99 })).rejects.toThrow('has no group 99; it has 7, 8, 9')
})

test('damage is one item, and the entries after it are shown', async () => {
  const before = framesOf(await dumped({ group: quietGroup }))
  const [victim] = before.slice(2)
  const file = await open(join(folder, victim!.file), 'r+')
  await file.write(new Uint8Array([7]), 0, 1, victim!.position + 150)
  await file.close()
  const items = await dumped({ group: quietGroup })
  const { file: name, position } = victim!
  expect(items).toContainEqual({ type: 'damage', file: name, position, what: 'frame: payload-checksum' })
  expect(framesOf(items)).toEqual([...before.slice(0, 2), ...before.slice(4)])
})
