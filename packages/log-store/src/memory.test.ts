import { expect, test } from 'vitest'
import { MemoryLogStore } from './memory.ts'
import { TestLog, testBase } from './testing/test-log.ts'

test('a write is answered on a later turn, in order, and not inside write', async () => {
  const store = new MemoryLogStore()
  const log = await store.create(7, { replicaId: 1, base: testBase() })
  const source = new TestLog(7, log.base)
  const answers: number[] = []
  log.write({ frames: source.append(2), commit: 1 }, () => answers.push(1))
  log.write({ frames: [], ballot: { term: 1, vote: 1 }, commit: 1 }, () => answers.push(2))
  expect(answers).toEqual([])
  expect(log.end.index).toBe(3)
  expect(log.durable.index).toBe(1)
  await new Promise<void>(resolve => log.write({ frames: [], commit: 1 }, resolve))
  expect(answers).toEqual([1, 2])
  expect(log.durable).toEqual(log.end)
})

test('reopen shows what was acknowledged and nothing else', async () => {
  const store = new MemoryLogStore()
  const log = await store.create(7, { replicaId: 1, base: testBase() })
  const source = new TestLog(7, log.base)
  await new Promise<void>(resolve => log.write({ frames: source.append(3), commit: 2 }, resolve))
  log.write({ frames: source.append(1), commit: 4 }, () => expect.unreachable())
  const [again] = store.reopen().groups()
  expect(again!.recovered.last.index).toBe(4)
  expect(again!.recovered.commit).toBe(2)
})
