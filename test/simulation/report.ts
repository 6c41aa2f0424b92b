/** What a run of many seeds says to people: progress, counts, failures with what is needed to replay them. */
import {
  type CoverageCounts,
  FAULTS,
  OPERATIONS,
  planOf,
  type RunResult,
  type Schedule,
  TRANSITIONS,
} from '../../packages/testkit/src/simulation/index.ts'

/** The command that repeats a schedule. */
export function replayCommand(schedule: Schedule): string {
  const without = schedule.without.length === 0 ? '' : ` --without ${schedule.without.join(',')}`
  const length = schedule.safetyMs === undefined ? '' : ` --safety-ms ${schedule.safetyMs}`
  const host = schedule.hosted === true ? ' --hosted' : ''
  return `pnpm sim --seed ${schedule.seed}${host}${without}${length} --trace`
}

/** A failure: the invariant, the schedule, the newest events. */
export function failureText(result: RunResult, smallest: RunResult | undefined): string {
  const shown = smallest ?? result
  const { faults, operations } = planOf(shown.schedule)
  return [
    `seed ${result.schedule.seed} FAILED: ${result.failure?.message ?? ''}`,
    `minimal schedule: ${replayCommand(shown.schedule)}`,
    `  faults: ${[...faults].join(', ') || 'none'}; operations: ${[...operations].join(', ')}`,
    `the last ${shown.failure?.events.length ?? 0} events of it:`,
    ...(shown.failure?.events ?? []),
    '',
  ].join('\n')
}

/** How often everything occurred. */
export function coverageText(counts: CoverageCounts): string {
  const list = (title: string, names: readonly string[]) =>
    `${title}\n${names.map(name => `  ${String(counts[name] ?? 0).padStart(9)}  ${name}`).join('\n')}`
  return [list('faults', FAULTS), list('operations', OPERATIONS), list('transitions', TRANSITIONS)].join('\n')
}
