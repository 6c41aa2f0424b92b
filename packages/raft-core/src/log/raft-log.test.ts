import { describe, expect, it } from 'vitest'
import type { Entry, Term } from '../entry.ts'
import { RaftLog } from './raft-log.ts'

function log(): RaftLog<string> {
  return new RaftLog<string>({
    base: { index: 1, term: 1 },
    lastIndex: 1,
    terms: [],
    commit: 1,
    entries: [],
    configIndexes: [],
    cacheBytesMax: 1_000,
    holes: [],
  })
}

function entry(index: number, term: Term, kind: Entry['kind'] = 'normal'): Entry<string> {
  return { index, term, kind, size: 1, payload: `${term}/${index}` }
}

describe('RaftLog', () => {
  it('hands each entry to storage once', () => {
    const subject = log()
    subject.append([entry(2, 2), entry(3, 2)])
    expect(subject.unsubmitted()).toHaveLength(2)
    subject.submit()
    expect(subject.unsubmitted()).toEqual([])
    subject.append([entry(4, 2)])
    expect(subject.unsubmitted().map(e => e.index)).toEqual([4])
  })

  it('hands out again what replaces an entry that was on its way', () => {
    const subject = log()
    subject.append([entry(2, 2), entry(3, 2), entry(4, 2)])
    subject.submit()
    subject.append([entry(3, 3)])
    expect(subject.unsubmitted()).toEqual([entry(3, 3)])
    expect(subject.lastIndex).toBe(3)
  })

  it('takes an acknowledgement only for the entry that it is of', () => {
    const subject = log()
    subject.append([entry(2, 2), entry(3, 2)])
    subject.submit()
    subject.append([entry(3, 3)])
    subject.durableTo({ index: 3, term: 2 })
    expect(subject.durable).toBe(1)
    subject.durableTo({ index: 3, term: 3 })
    expect(subject.durable).toBe(3)
  })

  it('applies only what is both committed and durable', () => {
    const subject = log()
    subject.append([entry(2, 2), entry(3, 2), entry(4, 2)])
    subject.commitTo(4)
    expect(subject.appliable()).toBe(1)
    subject.durableTo({ index: 3, term: 2 })
    expect(subject.appliable()).toBe(3)
  })

  it('applies nothing while a snapshot is being installed', () => {
    const subject = log()
    subject.restore({
      index: 9,
      term: 3,
      payload: null,
      configuration: { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    })
    subject.append([entry(10, 3)])
    subject.durableTo({ index: 10, term: 3 })
    subject.commitTo(10)
    expect(subject.appliable()).toBe(0)
    subject.snapshotInstalled(9)
    expect(subject.appliable()).toBe(10)
  })

  it('applies nothing before the newest snapshot is installed, whatever came before it', () => {
    const subject = log()
    const configuration = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
    for (const index of [9, 12]) subject.restore({ index, term: 3, payload: null, configuration })
    subject.snapshotInstalled(9)
    expect(subject.appliable()).toBe(0)
    subject.snapshotInstalled(12)
    expect(subject.appliable()).toBe(12)
  })

  it('stays as it is when it is told of a compaction that a later one has overtaken', () => {
    const subject = log()
    subject.append([entry(2, 2), entry(3, 4)])
    subject.durableTo({ index: 3, term: 4 })
    subject.compactTo({ index: 3, term: 4 })
    subject.compactTo({ index: 2, term: 2 })
    expect(subject.base).toEqual({ index: 3, term: 4 })
    expect([2, 3].map(index => subject.term(index))).toEqual([undefined, 4])
  })

  it('refuses to be compacted above what is durable', () => {
    const subject = log()
    subject.append([entry(2, 2)])
    expect(() => subject.compactTo({ index: 2, term: 2 })).toThrow(/compacted to 2, above what is durable \(1\)/)
  })

  it('refuses a commit index beyond its end', () => {
    expect(() => log().commitTo(2)).toThrow(/beyond the end of the log at 1/)
  })

  it('answers terms from the base to the end, and none elsewhere', () => {
    const subject = log()
    subject.append([entry(2, 2), entry(3, 4)])
    expect([0, 1, 2, 3, 4].map(index => subject.term(index))).toEqual([undefined, 1, 2, 4, undefined])
    subject.durableTo({ index: 3, term: 4 })
    subject.compactTo({ index: 2, term: 2 })
    expect([1, 2, 3].map(index => subject.term(index))).toEqual([undefined, 2, 4])
  })

  it('says that it does not know where the agreement lies below its base', () => {
    const subject = log()
    subject.append([entry(2, 5)])
    expect(subject.agreementHint(2, 5)).toEqual({ index: 2, term: 5 })
    expect(subject.agreementHint(2, 4)).toEqual({ index: 1, term: 1 })
    expect(subject.agreementHint(2, 0)).toEqual({ index: 0, term: 0 })
    expect(subject.agreementHint(7, 4)).toEqual({ index: 7, term: 0 })
  })

  it('forgets configuration entries that are truncated', () => {
    const subject = log()
    subject.append([entry(2, 2), entry(3, 2, 'config')])
    expect(subject.hasConfigEntry(1, 3)).toBe(true)
    subject.append([entry(3, 3)])
    expect(subject.hasConfigEntry(1, 3)).toBe(false)
  })
})
