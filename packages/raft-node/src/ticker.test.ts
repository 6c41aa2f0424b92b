import { expect, test } from 'vitest'
import type { GroupReplica } from './group-replica.ts'
import type { Clock } from './node.ts'
import { TICK_PHASES, Ticker } from './ticker.ts'

const TICK_MS = 100

/** A clock that jumps from timer to timer. */
function jumpingClock(): { clock: Clock; runUntil(ms: number): number } {
  let nowMs = 0
  let due: { atMs: number; run: () => void } | undefined
  const clock = {
    monotonicMs: () => nowMs,
    setTimer: (delayMs: number, run: () => void) => {
      due = { atMs: nowMs + delayMs, run }
      return { cancel: () => undefined }
    },
  } as unknown as Clock
  const runUntil = (ms: number): number => {
    let wakes = 0
    while (due !== undefined && due.atMs <= ms) {
      nowMs = due.atMs
      wakes++
      due.run()
    }
    return wakes
  }
  return { clock, runUntil }
}

function started(groups: readonly number[]): {
  ticks: Map<number, number[]>
  quiet: number[]
  replicas: Set<GroupReplica>
  runUntil(ms: number): number
} {
  const { clock, runUntil } = jumpingClock()
  const ticks = new Map<number, number[]>()
  const quiet: number[] = []
  const replicaOf = (group: number): GroupReplica => {
    ticks.set(group, [])
    return { group, tick: () => void ticks.get(group)!.push(clock.monotonicMs()) } as unknown as GroupReplica
  }
  const replicas = new Set(groups.map(replicaOf))
  const quietTick = (): void => void quiet.push(clock.monotonicMs())
  new Ticker({ clock, tickMs: TICK_MS, replicas, quietTick, mayTick: () => true }).start()
  return { ticks, quiet, replicas, runUntil }
}

test('groups that are not quiet tick once per tick, each phase in its quarter', () => {
  const { ticks, quiet, runUntil } = started([0, 1, 2, 3, 5])
  expect(runUntil(1_000)).toBe(10 * TICK_PHASES)
  expect(quiet).toHaveLength(10)
  for (const times of ticks.values()) expect(times).toHaveLength(10)
  expect(ticks.get(1)).toEqual(ticks.get(5))
  expect(new Set([0, 1, 2, 3].map(group => ticks.get(group)![0]! % TICK_MS)).size).toBe(4)
  for (const times of ticks.values()) for (let i = 1; i < 10; i++) expect(times[i]! - times[i - 1]!).toBe(TICK_MS)
})

test('where all groups are quiet the process wakes once per tick', () => {
  const { quiet, runUntil } = started([])
  expect(runUntil(1_000)).toBe(10)
  expect(quiet).toHaveLength(10)
})

test.each([1, 2, 3, 4])('a group that wakes while its phase is left out ticks within two ticks: group %i', group => {
  const { ticks, replicas, runUntil } = started([])
  runUntil(1_000)
  const woken: number[] = []
  replicas.add({ group, tick: () => void woken.push(1) } as unknown as GroupReplica)
  runUntil(1_000 + 2 * TICK_MS)
  expect([woken.length >= 1, ticks.size]).toEqual([true, 0])
  runUntil(2_000 + 2 * TICK_MS)
  expect(woken.length).toBeGreaterThanOrEqual(10)
})
