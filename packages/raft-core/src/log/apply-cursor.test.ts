import { describe, expect, it } from 'vitest'
import { ApplyCursor } from './apply-cursor.ts'
import { UncommittedTail } from './uncommitted-tail.ts'

describe('ApplyCursor', () => {
  it('pauses at the limit and goes on when something was applied', () => {
    const cursor = new ApplyCursor(1, 100)
    cursor.handedOut(5, 60, 5)
    expect([cursor.paused, cursor.bytesLeft]).toEqual([false, 40])
    cursor.handedOut(9, 50, 9)
    expect([cursor.paused, cursor.bytesLeft]).toEqual([true, 0])
    cursor.appliedTo(5, 60)
    expect([cursor.paused, cursor.applied, cursor.applying]).toEqual([false, 5, 9])
  })

  it('pauses when it could have handed out more', () => {
    const cursor = new ApplyCursor(1, 100)
    cursor.handedOut(4, 10, 5)
    expect(cursor.paused).toBe(true)
  })

  it('never goes back', () => {
    const cursor = new ApplyCursor(1, 100)
    cursor.appliedTo(9, 0)
    cursor.appliedTo(4, 0)
    expect([cursor.applied, cursor.applying]).toEqual([9, 9])
  })
})

describe('UncommittedTail', () => {
  it('refuses what does not fit, and takes a single large proposal when empty', () => {
    const tail = new UncommittedTail(100)
    expect(tail.fits(500)).toBe(true)
    tail.accepted(3, 60)
    expect([tail.fits(40), tail.fits(41), tail.fits(0)]).toEqual([true, false, true])
    tail.accepted(4, 40)
    tail.committedTo(3)
    expect(tail.bytes).toBe(40)
    tail.committedTo(9)
    expect(tail.bytes).toBe(0)
  })

  it('without a limit takes everything', () => {
    const tail = new UncommittedTail(0)
    tail.accepted(1, 1e9)
    expect(tail.fits(1e9)).toBe(true)
  })
})
