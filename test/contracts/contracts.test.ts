/** The contracts as another package finds them, with a store that is known to keep them. */
import type { LogStore } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { expect, test } from 'vitest'
import { type ContractStore, testLogStore } from '../../packages/testkit/src/contracts.ts'

async function inMemory(): Promise<ContractStore> {
  let store = new MemoryLogStore({ segmentBytesMax: 2_048 })
  const again = async (): Promise<LogStore> => {
    store = store.reopen()
    return store
  }
  return { open: again, crash: again }
}

testLogStore({ test, expect }, inMemory)
