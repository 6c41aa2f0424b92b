import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Inflights } from './inflights.ts'
import { Progress } from './progress.ts'

const LIMITS = { inflightMessagesMax: 3, inflightBytesMax: 100 }

function replicating(match: number): Progress {
  const progress = new Progress(match + 1, true, LIMITS)
  progress.match = match
  progress.becomeReplicate()
  return progress
}

describe('Progress', () => {
  it('pauses after one probe and goes on with the answer', () => {
    const progress = new Progress(10, true, LIMITS)
    progress.sentEntries(1, 5)
    expect(progress.paused).toBe(true)
    expect(progress.acknowledge(10)).toBe(true)
    expect(progress.paused).toBe(false)
  })

  it('never moves match back on reordered or duplicate acknowledgements', () => {
    const progress = replicating(5)
    expect(progress.acknowledge(8)).toBe(true)
    expect(progress.acknowledge(8)).toBe(false)
    expect(progress.acknowledge(6)).toBe(false)
    expect([progress.match, progress.next]).toEqual([8, 9])
  })

  it('ignores stale refusals', () => {
    const progress = replicating(5)
    expect(progress.reject(5, 0)).toBe(false)
    const probing = new Progress(10, true, LIMITS)
    expect(probing.reject(4, 0)).toBe(false)
    expect(probing.reject(9, 3)).toBe(true)
    expect(probing.next).toBe(4)
  })

  it('after a refusal while replicating goes back to just after its match', () => {
    const progress = replicating(5)
    progress.sentEntries(4, 10)
    expect(progress.reject(9, 2)).toBe(true)
    expect(progress.next).toBe(6)
  })

  it('probes after a snapshot from where the snapshot ends', () => {
    const progress = replicating(5)
    progress.becomeSnapshot(20)
    expect(progress.paused).toBe(true)
    progress.becomeProbe()
    expect(progress.next).toBe(21)
  })

  it('says whether news of a commit could matter', () => {
    const progress = replicating(5)
    progress.sentEntries(3, 3)
    progress.sentCommit = 5
    expect(progress.canBumpCommit(5)).toBe(false)
    expect(progress.canBumpCommit(7)).toBe(true)
    progress.sentCommit = 8
    expect(progress.canBumpCommit(9)).toBe(false)
  })
})

describe('Inflights', () => {
  it('counts on when the freed part of a long window is given back', () => {
    const window = new Inflights(1_000, 0)
    for (let last = 1; last <= 200; last++) window.add(last, last)
    // Below half, above half, above half once more: the queue is made shorter in between.
    for (const freed of [70, 130, 150]) {
      window.freeTo(freed)
      expect(window.count).toBe(200 - freed)
      expect(window.bytes).toBe((200 * 201 - freed * (freed + 1)) / 2)
    }
    window.add(201, 1)
    window.freeTo(200)
    expect([window.count, window.bytes]).toEqual([1, 1])
  })

  it('never exceeds its bounds by more than the message that fills it', () => {
    const step = fc.oneof(
      fc.record({ add: fc.integer({ min: 0, max: 60 }) }),
      fc.record({ free: fc.integer({ min: 0, max: 40 }) }),
    )
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 0, max: 100 }),
        fc.array(step, { maxLength: 80 }),
        (messagesMax, bytesMax, steps) => {
          const window = new Inflights(messagesMax, bytesMax)
          const model: { last: number; bytes: number }[] = []
          let last = 0
          for (const action of steps) {
            if ('add' in action) {
              if (window.full) continue
              window.add(++last, action.add)
              model.push({ last, bytes: action.add })
            } else {
              window.freeTo(action.free)
              while (model[0] && model[0].last <= action.free) model.shift()
            }
            const bytes = model.reduce((sum, message) => sum + message.bytes, 0)
            expect([window.count, window.bytes]).toEqual([model.length, bytes])
            expect(window.count).toBeLessThanOrEqual(messagesMax)
            if (bytesMax > 0) expect(bytes - (model.at(-1)?.bytes ?? 0)).toBeLessThan(Math.max(bytesMax, 1))
          }
        },
      ),
    )
  })
})
