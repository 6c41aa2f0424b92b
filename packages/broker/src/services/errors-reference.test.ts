import { readFileSync } from 'node:fs'
import { Code } from '@connectrpc/connect'
import { ErrorDetailSchema } from '@millrace/proto'
import { ERRORS, isErrorCode, MillraceError } from '@millrace/record'
import { expect, test } from 'vitest'
import { fromConnectError, toConnectError } from './connect-error.ts'

const page = readFileSync(new URL('../../../../docs/reference/errors.md', import.meta.url), 'utf8')

test('the reference of errors has one row per code, as the table says', () => {
  const rows = page.split('\n').filter(line => /^\| `[A-Z_]+` \| (not_stored|unknown) /.test(line))
  const expected = Object.entries(ERRORS).map(
    ([code, row]) =>
      `| \`${code}\` | ${row.outcome} | ${row.retryable ? 'yes' : 'no'} | ${row.status} | ${row.connect} | ${row.meaning} |`,
  )
  expect(rows).toEqual(expected)
})

test.each(Object.keys(ERRORS))('%s survives the way over the wire', code => {
  if (!isErrorCode(code)) throw new Error(code)
  const details = code === 'NOT_LEADER' ? { leaderNode: 2, leaderUrl: 'http://h:1', term: 7 } : { limit: 'x' }
  const sent = new MillraceError(code, 'why', { outcome: 'unknown', details })
  const wire = toConnectError(sent)
  expect(Code[wire.code]?.toLowerCase()).toBe(ERRORS[code].connect.replaceAll('_', ''))
  expect(wire.findDetails(ErrorDetailSchema)).toHaveLength(1)
  const received = fromConnectError(wire)
  expect(received).toMatchObject({ code, outcome: 'unknown', retryable: sent.retryable, message: 'why' })
  expect(received.details).toMatchObject(details)
})
