import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { PartitionFile } from './partition-file.ts'

function open(): PartitionFile {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bare-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return new PartitionFile(join(folder, 'partition'), error => {
    throw error
  })
}

test('what waits until everything is written finds all that was appended before, and nothing of it is under way', async () => {
  const file = open()
  const durable: number[] = []
  const append = (value: number): void => file.append(Buffer.alloc(1_000, value), () => durable.push(value))
  append(1)
  // Comes while the first is under way, and goes into the next write.
  append(2)
  const end = await new Promise<number>(resolve => file.whenWritten(() => resolve(file.end)))
  expect(end).toBe(2_000)
  expect(durable).toEqual([1, 2])
  expect(readFileSync(file.path)).toEqual(Buffer.concat([Buffer.alloc(1_000, 1), Buffer.alloc(1_000, 2)]))
  const idle = await new Promise<number>(resolve => file.whenWritten(() => resolve(file.end)))
  expect(idle).toBe(2_000)
  file.close()
})

test('a file that takes appends all the time does not keep anyone waiting who came before them', async () => {
  const file = open()
  let appending = true
  const appendAgain = (): void => {
    if (appending) file.append(Buffer.alloc(1_000), appendAgain)
  }
  appendAgain()
  const end = await new Promise<number>(resolve => file.whenWritten(() => resolve(file.end)))
  expect(end).toBeGreaterThanOrEqual(1_000)
  appending = false
  await new Promise<void>(resolve => file.whenWritten(resolve))
  file.close()
})
