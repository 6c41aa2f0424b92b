import { Histogram } from '@millrace/cli/bench'
import { expect, test } from 'vitest'
import { type Clock, openLoop } from './open-loop.ts'

/** A clock that moves when somebody sleeps or stalls. */
class FakeClock implements Clock {
  ms = 0
  now(): number {
    return this.ms
  }
  sleep(ms: number): Promise<void> {
    this.ms += ms
    return Promise.resolve()
  }
}

test('records are sent in order, when they are due and not before', async () => {
  const clock = new FakeClock()
  const sent: number[] = []
  await openLoop({ ratePerSecond: 200, records: 50 }, clock, (record, dueMs) => {
    expect(dueMs).toBe(record * 5)
    expect(clock.ms - dueMs).toBeGreaterThanOrEqual(0)
    expect(clock.ms - dueMs).toBeLessThanOrEqual(1)
    sent.push(record)
  })
  expect(sent).toEqual(Array.from({ length: 50 }, (_, i) => i))
})

test('a stall counts for every record that became due during it', async () => {
  const clock = new FakeClock()
  const latencies = new Histogram()
  const sinceSent = new Histogram()
  // A system that answers at once, but for one second of 10 in which the sender itself is stopped.
  await openLoop({ ratePerSecond: 100, records: 1_000 }, clock, (record, dueMs) => {
    const sentMs = clock.now()
    if (record === 300) clock.ms += 1_000
    latencies.record(clock.now() - dueMs)
    sinceSent.record(clock.now() - sentMs)
  })
  // 100 of 1,000 records were due during the stall: they waited 0 to 1 s, half of them longer than half a second.
  expect(latencies.percentileMs(0.99)).toBeGreaterThan(880)
  expect(latencies.percentileMs(0.95)).toBeGreaterThan(480)
  expect(latencies.percentileMs(0.95)).toBeLessThan(520)
  expect(latencies.percentileMs(0.89)).toBeLessThan(2)
  // What measuring from the moment of sending would say.
  expect(sinceSent.percentileMs(0.99)).toBe(0)
})
