import { afterEach, expect, test } from 'vitest'
import { JumpingClock } from './testing/jumping-clock.ts'
import { TestCluster } from './testing/test-cluster.ts'
import { until } from './testing/until.ts'

const running: TestCluster[] = []

afterEach(async () => {
  for (const started of running.splice(0)) await started.stop()
})

test('a node that stood still gives its leaderships away, and says so', async () => {
  const clocks = new Map([1, 2, 3].map(id => [id, new JumpingClock()]))
  const c = await TestCluster.start({ groups: [1, 2, 3, 4], clock: id => clocks.get(id)! })
  running.push(c)
  for (const group of c.groups) await c.append('before', group)
  const node = await c.leader(1)
  const ledHere = c.groups.filter(group => c.leaderOf(group) === node)
  clocks.get(node)!.jump(5_000)
  await until('others lead', () => c.groups.every(group => ![0, node].includes(c.leaderOf(group))))
  const said = c.up
    .get(node)!
    .events.filter(({ level }) => level === 'error')
    .map(({ message }) => message)
  expect(said).toHaveLength(1)
  expect(said[0]).toMatch(
    new RegExp(`the event loop stood still for 5\\d{3} ms: ${ledHere.length} leaderships are given away`),
  )
  for (const group of c.groups) await c.append('after', group)
})

test('a short pause changes nothing', async () => {
  const clock = new JumpingClock()
  const c = await TestCluster.start({ clock: () => clock })
  running.push(c)
  const node = await c.leader()
  clock.jump(900)
  const { term } = c.handle(node)
  for (let i = 0; i < 5; i++) await c.append(`entry ${i}`)
  expect(c.handle(node)).toMatchObject({ leading: true, term })
})
