import { setTimeout as sleep } from 'node:timers/promises'
import { MillraceError } from '@millrace/record'
import { describe, expect, it } from 'vitest'
import { jsonRecord, plainRecord } from '../input/record-input.ts'
import { type AppendStreamOptions, appendStream } from './append-stream.ts'

const OPTIONS: AppendStreamOptions = {
  parse: plainRecord,
  append: async records => [{ partition: 0, count: records.length }],
  outcomeOf: (error, count) => ({
    stored: 0,
    not_stored: 0,
    unknown: 0,
    [error instanceof MillraceError ? error.outcome : 'unknown']: count,
  }),
}

async function* chunks(...lists: string[][]): AsyncGenerator<Buffer[]> {
  for (const list of lists) yield list.map(text => Buffer.from(text))
}

describe('appendStream', () => {
  it('counts records and partitions', async () => {
    let turn = 0
    const append: AppendStreamOptions['append'] = async records => [{ partition: ++turn % 2, count: records.length }]
    const counts = await appendStream(chunks(['a', 'b'], ['c']), { ...OPTIONS, append })
    expect(counts).toMatchObject({ appended: 3, bytes: 3, failed: { not_stored: 0, unknown: 0 }, error: undefined })
    expect([...counts.partitions]).toEqual([
      [0, 1],
      [1, 2],
    ])
  })

  it('stops reading while the window is full', async () => {
    const MIB = 2 ** 20
    let read = 0
    let answered = 0
    let behindMax = 0
    async function* large(): AsyncGenerator<Buffer[]> {
      for (; read < 40; read++) {
        behindMax = Math.max(behindMax, read - answered)
        yield [Buffer.alloc(MIB)]
      }
    }
    const append: AppendStreamOptions['append'] = async records => {
      await sleep(5)
      answered += records.length
      return [{ partition: 0, count: records.length }]
    }
    const counts = await appendStream(large(), { ...OPTIONS, append })
    expect(counts.appended).toBe(40)
    expect(behindMax).toBeLessThanOrEqual(11)
  })

  it('ends at the first failure and says what is known about each record', async () => {
    let calls = 0
    const append: AppendStreamOptions['append'] = async records => {
      calls += 1
      if (calls === 2) throw new MillraceError('APPEND_TIMEOUT', 'no answer')
      return [{ partition: 0, count: records.length }]
    }
    const endless = async function* (): AsyncGenerator<Buffer[]> {
      for (;;) {
        yield [Buffer.from('x')]
        await sleep(0)
      }
    }
    const counts = await appendStream(endless(), { ...OPTIONS, append })
    expect(counts.failed).toEqual({ not_stored: 0, unknown: 1 })
    expect(counts.error).toMatchObject({ code: 'APPEND_TIMEOUT' })
  })

  it('stores what comes before a bad record', async () => {
    const counts = await appendStream(chunks(['{}', '{}', '{', '{}']), { ...OPTIONS, parse: jsonRecord(undefined) })
    expect(counts.appended).toBe(2)
    expect(counts.error).toMatchObject({ message: expect.stringContaining('record 3 of the input is not JSON') })
  })

  it('ends early, without an error, at the signal', async () => {
    const stop = new AbortController()
    const append: AppendStreamOptions['append'] = async records => {
      stop.abort()
      return [{ partition: 0, count: records.length }]
    }
    const input = async function* (): AsyncGenerator<Buffer[]> {
      for (;;) {
        yield [Buffer.from('x')]
        await sleep(1)
      }
    }
    const counts = await appendStream(input(), { ...OPTIONS, append, signal: stop.signal })
    expect(counts.error).toBeUndefined()
    expect(counts.appended).toBeLessThan(5)
  })
})
