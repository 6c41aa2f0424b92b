import fc from 'fast-check'
import { describe, it } from 'vitest'
import { RandomSchedule } from '../testing/random-schedule.ts'

describe('any schedule of faults', () => {
  it('breaks no safety property, and the healed cluster converges', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), seed => {
        const schedule = new RandomSchedule(seed)
        schedule.run(1_500)
        schedule.recover()
      }),
      // The same schedules in every run: a failure here is a failure everywhere.
      { numRuns: 120, seed: 20_260_101 },
    )
  })
})
