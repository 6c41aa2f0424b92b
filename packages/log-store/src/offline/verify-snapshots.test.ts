/** Snapshots in a data folder: every flipped bit, every cut and every stranger is listed under its file. */
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openSnapshotStore } from '../file-snapshot-store.ts'
import { removeTemporaryFolders, temporaryFolder } from '../testing/temporary-folder.ts'
import { makeSmallFolder } from './testing/small-folder.ts'
import { type VerifyReport, verifyDataFolder } from './verify.ts'

let folder = ''
let file = ''
let content: Buffer

beforeAll(async () => {
  folder = join(await temporaryFolder(), 'data')
  await makeSmallFolder(folder)
  await mkdir(join(folder, 'snapshots'))
  const store = await openSnapshotStore({ dir: join(folder, 'snapshots/7'), group: 7 })
  const configuration = new Uint8Array(20).fill(3)
  const head = { index: 9, term: 2, chain: 5, nextOffset: 40, timestamp: 1, configurationIndex: 1, configuration }
  const sink = await store.create(head)
  await sink.write(new Uint8Array(150).map((_, at) => at))
  await sink.commit()
  file = `snapshots/7/${(await readdir(join(folder, 'snapshots/7')))[0]}`
  content = await readFile(join(folder, file))
})
afterAll(removeTemporaryFolders)

async function verifiedWith(bytes: Uint8Array): Promise<VerifyReport> {
  await writeFile(join(folder, file), bytes)
  return verifyDataFolder(folder)
}

test('a whole one is counted', async () => {
  expect(await verifiedWith(content)).toMatchObject({ damage: [], counts: { snapshots: 1 } })
})

test('a flipped bit in every byte', async () => {
  for (let at = 0; at < content.length; at++) {
    const bytes = Buffer.from(content)
    bytes[at]! ^= 1 << (at % 8)
    expect((await verifiedWith(bytes)).damage, `byte ${at}`).toMatchObject([{ file }])
  }
})

test('a cut at every length, and bytes behind the end', async () => {
  for (let length = 0; length < content.length; length++)
    expect((await verifiedWith(content.subarray(0, length))).damage, `${length} bytes`).toMatchObject([{ file }])
  expect((await verifiedWith(Buffer.concat([content, Buffer.alloc(1)]))).damage).toMatchObject([{ file }])
})

test('one of another group, and under another name', async () => {
  await writeFile(join(folder, file), content)
  await mkdir(join(folder, 'snapshots/8'))
  const strangers = [file.replace('/7/', '/8/'), file.replace('0009', '000a')]
  for (const stranger of strangers) await cp(join(folder, file), join(folder, stranger))
  await writeFile(join(folder, `${file}.new`), '')
  await writeFile(join(folder, 'snapshots/8/notes'), '')
  const { damage, notes, notChecked } = await verifyDataFolder(folder)
  expect(damage.map(each => each.file).sort()).toEqual(strangers.sort())
  expect(notes.map(each => each.file)).toContain(`${file}.new`)
  expect(notChecked.map(each => each.file)).toEqual(['snapshots/8/notes'])
})
