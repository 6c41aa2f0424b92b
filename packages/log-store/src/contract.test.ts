import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Frame } from '@millrace/record'
import { afterAll, describe, expect, test } from 'vitest'
import type { LogStore } from './log-store.ts'
import { MemoryLogStore } from './memory.ts'
import { openSegmentedLogStore } from './segmented-log-store.ts'
import { type ContractPlace, testHoles, testLogStore } from './testing/index.ts'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'

afterAll(removeTemporaryFolders)

function failOnFatal(error: Error): void {
  throw error
}

async function inMemory(): Promise<ContractPlace> {
  let store = new MemoryLogStore({ segmentBytesMax: 2_048 })
  const again = async (): Promise<LogStore> => {
    store = store.reopen()
    return store
  }
  return {
    open: again,
    crash: again,
    async damage(group, frames) {
      await again()
      for (const { header } of frames) store.damage(group, header.index, header.index)
      return store
    },
  }
}

describe('MemoryLogStore', () => {
  testLogStore({ test, expect }, inMemory)
  testHoles({ test, expect }, inMemory)
})

/** `memory`: all frames stay cached; `disk`: none does, so every read is a cold one. */
describe.each([
  ['memory', 64 << 20],
  ['disk', 0],
])('SegmentedLogStore, reads from %s', (_name, tailCacheBytesMax) => {
  async function onFiles(): Promise<ContractPlace> {
    const root = await temporaryFolder()
    let generation = 0
    let store: LogStore | undefined
    const dir = (): string => join(root, String(generation))
    const open = async (): Promise<LogStore> => {
      store = await openSegmentedLogStore({
        dir: dir(),
        onFatal: failOnFatal,
        onProblem: () => undefined,
        tailCacheBytesMax,
        segmentBytesMax: 2_048,
        diskReserveBytes: 0,
      })
      return store
    }
    return {
      open,
      // The files as another process would find them after a kill: a copy, since this process goes on.
      async crash() {
        const before = dir()
        generation++
        await cp(before, dir(), { recursive: true })
        return open()
      },
      async damage(group, frames) {
        await store?.close()
        await damageFrames(join(dir(), 'groups', String(group)), frames)
        return open()
      },
    }
  }

  testLogStore({ test, expect }, onFiles)
  testHoles({ test, expect }, onFiles)
})

/** Flips a bit in the middle of each frame, in whatever segment holds it. */
async function damageFrames(folder: string, frames: readonly Frame[]): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.log')) continue
    const bytes = await readFile(join(folder, name))
    for (const frame of frames) {
      // Not in the copy of a configuration that a header holds.
      const at = bytes.lastIndexOf(frame.bytes)
      if (at >= 512) bytes[at + (frame.bytes.length >> 1)]! ^= 8
    }
    await writeFile(join(folder, name), bytes)
  }
}
