import type { ClientStatus } from '@millrace/client'
import { BehaviorSubject } from 'rxjs'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { noteTroubles } from './connection-notes.ts'

const DOWN: ClientStatus = { state: 'reconnecting', what: 'read of demo', reason: 'no node answers' }

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

it('notes a long trouble once, its end, and no short one', () => {
  const status$ = new BehaviorSubject<ClientStatus>({ state: 'connected' })
  const lines: string[] = []
  using _ = noteTroubles(status$, line => lines.push(line), 100)
  status$.next(DOWN)
  vi.advanceTimersByTime(99)
  status$.next({ state: 'connected' })
  vi.advanceTimersByTime(1000)
  expect(lines).toEqual([])

  status$.next(DOWN)
  status$.next(DOWN)
  vi.advanceTimersByTime(1000)
  status$.next(DOWN)
  vi.advanceTimersByTime(1000)
  status$.next({ state: 'connected' })
  expect(lines).toEqual([
    'millrace: waiting for the cluster (read of demo: no node answers)',
    'millrace: connected again',
  ])
})

it('says nothing after it is disposed of', () => {
  const lines: string[] = []
  const notes = noteTroubles(new BehaviorSubject<ClientStatus>(DOWN), line => lines.push(line), 100)
  notes[Symbol.dispose]()
  vi.advanceTimersByTime(1000)
  expect(lines).toEqual([])
})
