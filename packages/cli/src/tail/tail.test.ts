import { describe, expect, it } from 'vitest'
import { jsonLine, plainLine, type ShownRecord } from './record-text.ts'
import { parseFrom } from './start-position.ts'

describe('parseFrom', () => {
  const now = new Date('2026-11-21T10:00:00Z')

  it('knows names, offsets, times and ages', () => {
    expect(parseFrom('earliest')).toBe('earliest')
    expect(parseFrom('latest')).toBe('latest')
    expect(parseFrom('1200')).toEqual({ offset: 1200 })
    expect(parseFrom('90m', now)).toEqual({ time: new Date('2026-11-21T08:30:00Z') })
    expect(parseFrom('2026-11-21T08:00:00Z')).toEqual({ time: new Date('2026-11-21T08:00:00Z') })
  })

  it.each(['', 'first', '-1', '1.5', '2026-13-45', '99999999999999999999'])('refuses "%s" with the forms', text => {
    expect(() => parseFrom(text)).toThrow('is none of earliest, latest, an offset')
  })
})

describe('records as text', () => {
  const record: ShownRecord = {
    topic: 't',
    partition: 1,
    offset: 7,
    timestamp: Date.UTC(2026, 10, 21),
    keyBytes: Buffer.from('k'),
    valueBytes: Buffer.from('hello'),
    contentType: '',
    headers: [],
  }
  const shown = (change: Partial<ShownRecord>): unknown => JSON.parse(jsonLine({ ...record, ...change }))

  it('keeps the bytes of a value', () => {
    expect([...plainLine({ ...record, valueBytes: Buffer.from([0xff]) })]).toEqual([0xff, 0x0a])
    expect(String(plainLine({ ...record, valueBytes: null }))).toBe('\n')
  })

  it('shows JSON as JSON, text as text, other bytes in base64', () => {
    const place = { topic: 't', partition: 1, offset: 7, timestamp: Date.UTC(2026, 10, 21) }
    expect(shown({})).toEqual({ ...place, key: 'k', value: 'hello' })
    expect(shown({ keyBytes: null })).toMatchObject({ key: null })
    expect(shown({ valueBytes: Buffer.from('{"a":1}'), contentType: 'application/json' })).toMatchObject({
      value: { a: 1 },
    })
    expect(shown({ valueBytes: Buffer.from('{'), contentType: 'application/json' })).toMatchObject({ value: '{' })
    expect(shown({ valueBytes: Buffer.from([0xff]) })).toMatchObject({ value: '/w==', encoding: 'base64' })
    expect(shown({ valueBytes: null })).toMatchObject({ value: null, tombstone: true })
    const headers = [{ name: 'trace', value: Buffer.from('7') }]
    expect(shown({ headers })).toMatchObject({ headers: { trace: '7' } })
  })
})
