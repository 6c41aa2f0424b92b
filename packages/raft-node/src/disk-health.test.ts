import type { Birth, GroupLog, LogError, LogStore, LogStoreStats } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { afterEach, expect, test } from 'vitest'
import { propose, TestCluster } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

/** A store whose statistics say that its disk is stuck, when it is told so. */
class StuckStore implements LogStore {
  stuckMs = 0
  acceptsAppends = true
  readonly #inner = new MemoryLogStore()

  groups(): readonly GroupLog[] {
    return this.#inner.groups()
  }

  refused(): readonly { readonly group: number; readonly reason: LogError }[] {
    return this.#inner.refused()
  }

  create(group: number, birth: Birth): Promise<GroupLog> {
    return this.#inner.create(group, birth)
  }

  drop(group: number): Promise<void> {
    return this.#inner.drop(group)
  }

  stats(): LogStoreStats {
    return { ...this.#inner.stats(), stuckMs: this.stuckMs }
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}

const running: TestCluster[] = []

async function cluster(): Promise<{ c: TestCluster; stores: Map<number, StuckStore> }> {
  const stores = new Map<number, StuckStore>()
  const openStore = async (node: number): Promise<LogStore> => {
    const store = new StuckStore()
    stores.set(node, store)
    return store
  }
  const c = await TestCluster.start({ openStore })
  running.push(c)
  return { c, stores }
}

afterEach(async () => {
  for (const c of running.splice(0)) await c.stop()
})

test('a leader whose disk is stuck for an election timeout gives leadership away, and takes part again later', async () => {
  const { c, stores } = await cluster()
  await c.append('a')
  const stuck = await c.leader()
  stores.get(stuck)!.stuckMs = 1_000
  await until('another node leads', () => c.leaderOf() !== 0 && c.leaderOf() !== stuck)
  expect(c.up.get(stuck)!.events.some(event => event.message.includes('leaderships are given away'))).toBe(true)
  await c.append('b')
  stores.get(stuck)!.stuckMs = 0
  await until('the disk is well', () => c.up.get(stuck)!.events.some(event => event.message.includes('writes again')))
  await c.append('c')
  await c.converged(3)
})

test('below the disk reserve records are refused, and everything else goes on', async () => {
  const { c, stores } = await cluster()
  const leader = await c.leader()
  stores.get(leader)!.acceptsAppends = false
  expect(propose(c.handle(leader), 'x').result).toMatchObject({ type: 'dropped', reason: 'diskFull' })
  stores.get(leader)!.acceptsAppends = true
  await c.append('y')
})
