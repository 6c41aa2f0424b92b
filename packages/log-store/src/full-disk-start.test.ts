/** A store that is opened on a full disk waits for space, and is then as good as any other. */
import { expect, test } from 'vitest'
import { FaultDisk, ManualClock, openOn, readAll, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUPS = [1, 2, 3]

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise<void>(resolve => setImmediate(resolve))
}

test.each([
  ['the last rounds, which are written again', (path: string) => path.includes('.log')],
  ['everything', () => true],
])('no space for %s: the flushes that may run at once are all there afterwards', async (_, lacksSpace) => {
  const disk = new FaultDisk(seededRandom(4))
  const store = await openOn(disk)
  const sources = new Map<number, TestLog>()
  for (const group of GROUPS) {
    const log = await store.create(group, { replicaId: 1, base: testBase() })
    const source = new TestLog(group, log.base)
    sources.set(group, source)
    await written(log, { frames: source.append(2) })
  }
  const later = disk.losePower()
  const problems: Error[] = []
  const clock = new ManualClock()
  later.faults.failing = (operation, path) => (operation === 'writev' && lacksSpace(path) ? 'ENOSPC' : undefined)
  let opened = false
  const opening = openOn(later, { clock, flushSlots: 1, onProblem: problem => void problems.push(problem) })
  void opening.then(() => {
    opened = true
  })
  const pass = async (): Promise<void> => {
    await turns()
    clock.advance(1_000)
  }
  for (let second = 0; second < 3; second++) await pass()
  expect(opened).toBe(false)
  expect(problems.map(String).join()).toContain('the disk is full')
  later.faults.failing = () => undefined
  for (let second = 0; second < 9 && !opened; second++) await pass()
  const again = await opening
  for (const log of again.groups()) {
    await written(log, { frames: sources.get(log.group)!.append(1), ballot: { term: 9, vote: 1 } })
    expect(await readAll(log)).toHaveLength(3)
  }
  expect([again.groups().length, again.stats().stuckMs]).toEqual([GROUPS.length, 0])
})
