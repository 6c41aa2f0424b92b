import type { RecordData } from '@millrace/record'
import { expect, test } from 'vitest'
import { renderRecord } from './record-rendering.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

function render(record: Partial<RecordData>): Record<string, unknown> {
  return JSON.parse(line(record)) as Record<string, unknown>
}

function line(record: Partial<RecordData>): string {
  const full = { key: null, value: bytes('v'), headers: [], contentType: '', createTime: 0, ...record }
  return renderRecord({ topic: 'demo', partition: 1, offset: 42, timestamp: 7, record: full })
}

test('members come in a fixed order', () => {
  expect(line({})).toBe('{"topic":"demo","partition":1,"offset":42,"timestamp":7,"key":null,"value":"v"}')
})

test('JSON values are JSON, as they were written', () => {
  const contentType = 'application/json; charset=utf-8'
  expect(line({ contentType, value: bytes('{"id":9007199254740993}') })).toContain('"value":{"id":9007199254740993}')
  expect(render({ contentType, value: bytes('{\n "a": [1]\n}') }).value).toEqual({ a: [1] })
  expect(line({ contentType, value: bytes('{\n "a": [1]\n}') })).not.toContain('\n')
  expect(render({ contentType: 'application/vnd.x+json', value: bytes('null') }).value).toBeNull()
  expect(render({ contentType, value: bytes('{broken') }).value).toBe('{broken')
  expect(render({ contentType: 'text/plain', value: bytes('{"a":1}') }).value).toBe('{"a":1}')
})

test('UTF-8 is a string, everything else base64', () => {
  expect(render({ value: bytes('ü\n"\u2028') }).value).toBe('ü\n"\u2028')
  expect(render({ value: new Uint8Array([0xff, 0xfe]) })).toMatchObject({ value: '//4=', encoding: 'base64' })
  expect(render({ key: bytes('k') }).key).toBe('k')
  expect(render({ key: new Uint8Array([0xff]) })).toMatchObject({ key: '/w==', keyEncoding: 'base64' })
  expect(render({ value: new Uint8Array() }).value).toBe('')
})

test('tombstones and headers are shown', () => {
  expect(render({ value: null })).toMatchObject({ value: null, tombstone: true })
  const headers = [
    { name: 'trace', value: bytes('1') },
    { name: 'raw', value: new Uint8Array([0xff]) },
  ]
  expect(render({ headers }).headers).toEqual({ trace: '1', raw: { base64: '/w==' } })
})
