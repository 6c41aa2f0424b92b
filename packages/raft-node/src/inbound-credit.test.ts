import type { GroupLog, LogStore } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { afterEach, expect, test } from 'vitest'
import { InboundCredit } from './inbound-credit.ts'
import { FAST, TestCluster } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

const SLOW = 1
const OTHER = 2
const LIMIT = 50_000
const PAYLOAD = 'x'.repeat(5_000)

/** Holds back what the writes of one group would have answered. */
class SlowGroup {
  #held: (() => void)[] | undefined
  heldBytes = 0
  maxBytes = 0

  hold(): void {
    this.#held = []
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    this.heldBytes = 0
    for (const done of held) done()
  }

  /** The log with writes that wait. */
  over(log: GroupLog): GroupLog {
    const write: GroupLog['write'] = (what, done) => {
      if (this.#held !== undefined) {
        for (const frame of what.frames) this.heldBytes += frame.bytes.length
        this.maxBytes = Math.max(this.maxBytes, this.heldBytes)
      }
      log.write(what, () => (this.#held === undefined ? done() : this.#held.push(done)))
    }
    return withMember(log, 'write', write)
  }
}

/** The same object but for one member. */
function withMember<T extends object, K extends keyof T>(of: T, member: K, value: T[K]): T {
  return new Proxy(of, {
    get(target, key) {
      if (key === member) return value
      const own: unknown = Reflect.get(target, key, target)
      return typeof own === 'function' ? own.bind(target) : own
    },
  })
}

const running: TestCluster[] = []
afterEach(async () => {
  for (const c of running.splice(0)) await c.stop()
})

async function cluster(): Promise<{ c: TestCluster; slow: Map<number, SlowGroup> }> {
  const slow = new Map<number, SlowGroup>()
  const openStore = async (node: number): Promise<LogStore> => {
    const store = new MemoryLogStore()
    const group = new SlowGroup()
    slow.set(node, group)
    const groups = (): GroupLog[] => store.groups().map(log => (log.group === SLOW ? group.over(log) : log))
    return withMember(store as LogStore, 'groups', groups)
  }
  const c = await TestCluster.start({
    ...{ groups: [SLOW, OTHER], openStore, inbound: { groupBytesMax: LIMIT } },
    timing: { ...FAST, electionTimeoutMinMs: 60_000 },
  })
  running.push(c)
  return { c, slow }
}

test('a group whose log is slow holds no more than its credit, and stops no other group of the same two nodes', async () => {
  const { c, slow } = await cluster()
  await c.append('first', SLOW)
  await c.append('first', OTHER)
  const leader = await c.leader(SLOW)
  const follower = c.nodeIds.find(node => node !== leader)!
  let busy = 0
  c.network.setFilter((from, to, message) => {
    if (from === follower && to === leader && message.busy === true && message.group === SLOW) busy += 1
    return true
  })
  const stuck = slow.get(follower)!
  stuck.hold()
  for (let i = 0; i < 40; i++) await c.append(`${i}${PAYLOAD}`, SLOW)
  await until('the follower says that it is busy', () => busy > 0)
  expect(stuck.maxBytes).toBeLessThanOrEqual(LIMIT)
  for (let i = 0; i < 20; i++) await c.append(`${i}${PAYLOAD}`, OTHER)
  await c.converged(21, OTHER)
  expect(c.machine(follower, SLOW).entries.length).toBeLessThan(41)
  stuck.release()
  await c.converged(41, SLOW)
})

test('credit: per group, over all groups, always for one when nothing is held, given back once', () => {
  const node = new InboundCredit({ groupBytesMax: 100, nodeBytesMax: 150 })
  const [a, b, c] = [node.ofGroup(), node.ofGroup(), node.ofGroup()]
  expect([a.take(60), a.take(60), a.take(40), a.take(0)]).toEqual([true, false, true, true])
  expect([b.take(60), b.take(50)]).toEqual([false, true])
  a.giveBack(40)
  a.hold(40)
  expect(node.bytes).toBe(150)
  a.close()
  a.giveBack(100)
  expect(node.bytes).toBe(50)
  b.giveBack(50)
  expect([c.take(1_000), c.take(1)]).toEqual([true, false])
})
