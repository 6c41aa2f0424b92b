import { expect, test } from 'vitest'
import { parseCounts } from './system-calls.ts'

test('the table of strace: calls with and without errors, and no total', () => {
  const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.54    0.000320          10        32        12 futex
 38.46    0.000200           2       100           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.000520           3       132        12 total
`
  expect([...parseCounts(table)]).toEqual([
    ['futex', 32],
    ['epoll_wait', 100],
  ])
  expect(parseCounts('').size).toBe(0)
})
