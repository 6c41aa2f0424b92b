/**
 * Makes a failing schedule smaller: leaves out one fault or operation after the other, then shortens the safety phase, as
 * long as the same invariant breaks. Every concern has its own random stream, so what stays in behaves much as before.
 */
import { planOf, type Schedule } from './plan.ts'
import type { RunResult } from './simulation.ts'

/**
 * @param failed the result of a run that failed
 * @param run runs a schedule
 * @param runsMax how many runs this may cost
 * @returns the result of the smallest schedule found, which may be the given one
 */
export async function shrink(
  failed: RunResult,
  run: (schedule: Schedule) => Promise<RunResult>,
  runsMax = 60,
): Promise<RunResult> {
  const invariant = failed.failure?.invariant
  let smallest = failed
  let runs = 0
  const accepts = async (schedule: Schedule): Promise<boolean> => {
    if (runs >= runsMax) return false
    runs++
    const result = await run(schedule)
    if (result.failure === undefined || result.failure.invariant !== invariant) return false
    smallest = result
    return true
  }

  const { faults, operations } = planOf(failed.schedule)
  for (const name of [...faults, ...operations]) {
    if (name === 'propose') continue
    await accepts({ ...smallest.schedule, without: [...smallest.schedule.without, name] })
  }
  // The first length is known to fail; halve the distance to one that does not.
  let passes = 0
  let fails = Math.ceil(planOf(smallest.schedule).safetyUs / 1000)
  while (fails - passes > 50 && runs < runsMax) {
    const middle = Math.floor((passes + fails) / 2)
    if (await accepts({ ...smallest.schedule, safetyMs: middle })) fails = middle
    else passes = middle
  }
  return smallest
}
