/** What the state store does to its file at the opening. */
import { fdatasyncSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openLmdbStateStore } from './lmdb-state-store.ts'

vi.mock('node:fs', { spy: true })

test('what it finds is durable before anybody reads it: the process that wrote it may have been killed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-state-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const store = openLmdbStateStore(folder)
  await store.commit(3, { applied: { index: 9, term: 1 }, full: true, puts: [], deletes: [] })
  await store.close()
  vi.mocked(fdatasyncSync).mockClear()
  const again = openLmdbStateStore(folder)
  onTestFinished(() => again.close())
  expect(vi.mocked(fdatasyncSync).mock.results).toEqual([{ type: 'return', value: undefined }])
  expect(again.load(3)?.applied.index).toBe(9)
})

test('a file that cannot be flushed is not used', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-state-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  await openLmdbStateStore(folder).close()
  vi.mocked(fdatasyncSync).mockImplementationOnce(() => {
    throw new Error('EIO: i/o error, fdatasync')
  })
  expect(() => openLmdbStateStore(folder)).toThrow(/state store: .*cannot be opened \(EIO/)
})
