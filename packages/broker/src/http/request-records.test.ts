import { MillraceError } from '@millrace/record'
import { describe, expect, test } from 'vitest'
import { formatPositions, parsePositions } from '../read/position-vector.ts'
import { booleanParameter, decodeSegment, numberParameter, parseQuery, splitUrl } from './query.ts'
import { requestRecords } from './request-records.ts'

function parse(type: string | undefined, body: string): unknown {
  const { records, many } = requestRecords(type, new TextEncoder().encode(body), null, 1)
  return {
    many,
    values: records.map(({ value }) => new TextDecoder().decode(value as Uint8Array)),
    types: [...new Set(records.map(({ contentType }) => contentType))],
  }
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof MillraceError) return error.code
    throw error
  }
  return 'none'
}

describe('bodies', () => {
  test.each([
    [undefined, 'a\nb', { many: false, values: ['a\nb'], types: [''] }],
    ['application/octet-stream', 'a\n', { many: false, values: ['a\n'], types: [''] }],
    ['application/x-www-form-urlencoded', 'a=1&b=%20', { many: false, values: ['a=1&b=%20'], types: [''] }],
    ['application/x-www-form-urlencoded', '', { many: false, values: [''], types: [''] }],
    ['image/PNG', 'x', { many: false, values: ['x'], types: ['image/png'] }],
    [
      'application/json; charset=utf-8',
      ' {"a":1}\n',
      { many: false, values: [' {"a":1}\n'], types: ['application/json'] },
    ],
    ['text/plain', 'a', { many: true, values: ['a'], types: ['text/plain'] }],
    ['text/plain', 'a\r\n\nb\n', { many: true, values: ['a', '', 'b'], types: ['text/plain'] }],
    ['text/plain', '\n', { many: true, values: [''], types: ['text/plain'] }],
    ['application/x-ndjson', '1\n \n"a"\r\n', { many: true, values: ['1', '"a"'], types: ['application/json'] }],
  ])('%s %j', (type, body, expected) => {
    expect(parse(type, body)).toEqual(expected)
  })

  test('what breaks the rule of its type is refused', () => {
    expect(codeOf(() => parse('application/json', '{'))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => parse('application/json', ''))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => parse('text/plain', ''))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => parse('application/x-ndjson', '\n\n'))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => parse('multipart/form-data; boundary=x', 'x'))).toBe('INVALID_ARGUMENT')
    const invalid = new Uint8Array([0x22, 0xff, 0x22])
    expect(codeOf(() => requestRecords('application/json', invalid, null, 1))).toBe('INVALID_ARGUMENT')
  })
})

describe('queries', () => {
  test('are split, decoded and checked', () => {
    expect(splitUrl('/a?b=c?d')).toEqual({ path: '/a', query: 'b=c?d' })
    expect(parseQuery('key=a+b%26&live', ['key', 'live'])).toEqual({ key: 'a b&', live: '' })
    expect(codeOf(() => parseQuery('key=%ff', ['key']))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => parseQuery('a=1&a=2', ['a']))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => parseQuery('__proto__=1', ['a']))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => decodeSegment('%e0%a4'))).toBe('INVALID_NAME')
  })

  test('numbers and booleans keep to their form', () => {
    expect(numberParameter({ n: '12' }, 'n')).toBe(12)
    expect(numberParameter({}, 'n')).toBeUndefined()
    for (const n of ['-1', '1.5', '', '9007199254740993', 'x']) {
      expect(codeOf(() => numberParameter({ n }, 'n'))).toBe('INVALID_ARGUMENT')
    }
    expect([{}, { live: 'true' }, { live: '' }, { live: '0' }].map(query => booleanParameter(query, 'live'))).toEqual([
      false,
      true,
      true,
      false,
    ])
    expect(codeOf(() => booleanParameter({ live: 'yes' }, 'live'))).toBe('INVALID_ARGUMENT')
  })
})

test('position vectors are read as they are written', () => {
  const positions = new Map([
    [2, 9],
    [0, 13],
  ])
  expect(formatPositions(positions)).toBe('0:13,2:9')
  expect(parsePositions('0:13,2:9')).toEqual(positions)
  for (const text of ['', '1', '0:1,0:2', '0:-1', '0:1,', 'a:1']) expect(parsePositions(text)).toBeUndefined()
})
