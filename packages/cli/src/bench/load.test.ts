import { expect, test } from 'vitest'
import { type Caller, type Clock, carryLoad, type Load, Tally } from './load.ts'

const NEVER = new AbortController().signal
const ONE_BY_ONE: Load = { callRecords: 1, callsInFlight: 1, durationMs: 1_000, recordsMax: Number.POSITIVE_INFINITY }

/** Time that passes only when everything waits for it. */
class FakeClock implements Clock {
  ms = 0
  readonly #timers: { atMs: number; ring: () => void }[] = []

  now(): number {
    return this.ms
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      this.#timers.push({ atMs: this.ms + ms, ring: resolve })
      signal?.addEventListener('abort', () => resolve())
    })
  }

  async run(load: Promise<void>): Promise<void> {
    let isOver = false
    const over = load.then(() => {
      isOver = true
    })
    for (;;) {
      // Every microtask that is under way, and those that follow from it.
      await new Promise(resolve => setImmediate(resolve))
      if (isOver) return await over
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) throw new Error('the load waits for nothing')
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.ms = Math.max(this.ms, next.atMs)
      next.ring()
    }
  }
}

interface Server extends Caller {
  readonly sent: { readonly call: number; readonly atMs: number }[]
  mostInFlight: number
}

/** Answers after `serviceMs` of the call. */
function server(clock: FakeClock, serviceMs: (call: number) => number, fails: (call: number) => boolean = () => false) {
  let inFlight = 0
  const made: Server = {
    sent: [],
    mostInFlight: 0,
    async send(call) {
      made.sent.push({ call, atMs: clock.ms })
      made.mostInFlight = Math.max(made.mostInFlight, ++inFlight)
      await clock.sleep(serviceMs(call))
      inFlight--
      if (fails(call)) throw new Error(`call ${call}`)
    },
    outcomeOf: () => ({ stored: 1, not_stored: 2, unknown: 3 }),
  }
  return made
}

test('without a rate a call begins when there is a place, and never more are under way', async () => {
  const clock = new FakeClock()
  const tally = new Tally()
  const system = server(clock, () => 10)
  await clock.run(carryLoad({ ...ONE_BY_ONE, callRecords: 5, callsInFlight: 4 }, system, tally, clock, NEVER))
  expect(system.mostInFlight).toBe(4)
  expect(tally).toMatchObject({ calls: 400, acknowledged: 2_000, notStored: 0, unknown: 0, unsent: 0, ms: 1_000 })
  expect(tally.latencies.percentileMs(1)).toBe(10)
  expect(system.sent.map(({ call }) => call)).toEqual(Array.from({ length: 400 }, (_, at) => at))
})

test('it ends with the last whole call within the number of records', async () => {
  const clock = new FakeClock()
  const tally = new Tally()
  const load = { ...ONE_BY_ONE, callRecords: 10, recordsMax: 39 }
  await clock.run(
    carryLoad(
      load,
      server(clock, () => 1),
      tally,
      clock,
      NEVER,
    ),
  )
  expect(tally).toMatchObject({ calls: 3, acknowledged: 30 })
})

test('at a rate calls are sent when they are due, and not before', async () => {
  const clock = new FakeClock()
  const tally = new Tally()
  const system = server(clock, () => 1)
  const load = { ...ONE_BY_ONE, callRecords: 2, callsInFlight: 8, ratePerSecond: 100 }
  await clock.run(carryLoad(load, system, tally, clock, NEVER))
  expect(tally).toMatchObject({ calls: 50, acknowledged: 100, unsent: 0 })
  for (const { call, atMs } of system.sent) {
    expect(atMs).toBeGreaterThanOrEqual(call * 20)
    expect(atMs).toBeLessThan(call * 20 + 1)
  }
})

test('a stall counts for every call that became due during it, also where there was no place to send it', async () => {
  const clock = new FakeClock()
  const tally = new Tally()
  // One call takes a second; all others are answered at once. 100 of 1,000 calls are due meanwhile.
  const system = server(clock, call => (call === 300 ? 1_000 : 0))
  const load = { ...ONE_BY_ONE, durationMs: 10_000, ratePerSecond: 100 }
  await clock.run(carryLoad(load, system, tally, clock, NEVER))
  expect(tally).toMatchObject({ calls: 1_000, acknowledged: 1_000, unsent: 0 })
  expect(tally.latencies.percentileMs(0.99)).toBeGreaterThan(880)
  expect(tally.latencies.percentileMs(0.95)).toBeGreaterThan(480)
  expect(tally.latencies.percentileMs(0.95)).toBeLessThan(520)
  expect(tally.latencies.percentileMs(0.89)).toBeLessThan(2)
})

test('what finds no place within five seconds after the end counts as not sent, with its age', async () => {
  const clock = new FakeClock()
  const tally = new Tally()
  const load = { ...ONE_BY_ONE, ratePerSecond: 100 }
  await clock.run(
    carryLoad(
      load,
      server(clock, () => 1_000),
      tally,
      clock,
      NEVER,
    ),
  )
  // One a second for six seconds of 100 that were due in the first.
  expect(tally).toMatchObject({ calls: 7, acknowledged: 7, unsent: 93 })
  expect(tally.latencies.count).toBe(100)
  expect(tally.latencies.percentileMs(0.5)).toBeGreaterThan(5_900)
})

test('a call that fails is counted by what is known of its records, and keeps its place for a while', async () => {
  const clock = new FakeClock()
  const tally = new Tally()
  const system = server(
    clock,
    () => 0,
    () => true,
  )
  await clock.run(carryLoad({ ...ONE_BY_ONE, callRecords: 6 }, system, tally, clock, NEVER))
  expect(tally).toMatchObject({ calls: 10, acknowledged: 10, notStored: 20, unknown: 30 })
  expect([...tally.failedCalls]).toEqual(Array.from({ length: 10 }, (_, at) => at))
  expect(tally.error).toEqual(new Error('call 0'))
  expect(tally.latencies.count).toBe(0)
})

test('an abort begins no further call and waits for those under way', async () => {
  const clock = new FakeClock()
  const tally = new Tally()
  const stop = new AbortController()
  const system = server(clock, call => {
    if (call === 2) stop.abort()
    return 10
  })
  for (const ratePerSecond of [undefined, 1_000])
    await clock.run(carryLoad({ ...ONE_BY_ONE, callsInFlight: 2, ratePerSecond }, system, tally, clock, stop.signal))
  expect(tally).toMatchObject({ calls: 3, acknowledged: 3, unsent: 0 })
})
