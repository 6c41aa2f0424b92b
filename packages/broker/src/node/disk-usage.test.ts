import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testing/fake-node.ts'
import { DiskUsage } from './disk-usage.ts'

test('counts what files below the folder take, and nothing where there is none', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'a'))
  writeFileSync(join(folder, 'a', 'file'), Buffer.alloc(100_000, 1))
  const usage = new DiskUsage(folder)
  await usage.refresh()
  expect(usage.bytes).toBeGreaterThanOrEqual(100_000)
  expect(usage.bytes).toBeLessThan(200_000)
  const nothing = new DiskUsage(join(folder, 'nowhere'))
  await nothing.refresh()
  expect(nothing.bytes).toBe(0)
})
