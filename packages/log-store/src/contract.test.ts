import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { LogStore } from './log-store.ts'
import { MemoryLogStore } from './memory.ts'
import { openSegmentedLogStore } from './segmented-log-store.ts'
import { testLogStore } from './testing/index.ts'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'

afterAll(removeTemporaryFolders)

function failOnFatal(error: Error): void {
  throw error
}

describe('MemoryLogStore', () => {
  testLogStore({ test, expect }, async () => {
    let store = new MemoryLogStore()
    const again = async (): Promise<LogStore> => {
      store = store.reopen()
      return store
    }
    return { open: again, crash: again }
  })
})

/** `memory`: all frames stay cached; `disk`: none does, so every read is a cold one. */
describe.each([
  ['memory', 64 << 20],
  ['disk', 0],
])('SegmentedLogStore, reads from %s', (_name, tailCacheBytesMax) => {
  testLogStore({ test, expect }, async () => {
    const root = await temporaryFolder()
    let generation = 0
    const open = (): Promise<LogStore> =>
      openSegmentedLogStore({
        dir: join(root, String(generation)),
        onFatal: failOnFatal,
        tailCacheBytesMax,
        segmentBytesMax: 2_048,
        diskReserveBytes: 0,
      })
    return {
      open,
      // The files as another process would find them after a kill: a copy, since this process goes on.
      async crash() {
        const before = join(root, String(generation++))
        await cp(before, join(root, String(generation)), { recursive: true })
        return open()
      },
    }
  })
})
