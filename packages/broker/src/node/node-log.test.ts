import pino from 'pino'
import { expect, test } from 'vitest'
import { raftLog } from './node-log.ts'

test('a role change is one line, however often it is told', () => {
  const lines: { level: number; group?: number; msg: string }[] = []
  const report = raftLog(pino({ level: 'info' }, { write: line => lines.push(JSON.parse(line)) }))
  const leads = { level: 'info', group: 3, message: 'leader in term 2' } as const
  report({ ...leads, details: { leading: false } })
  report({ ...leads, details: { leading: true } })
  report({ ...leads, group: 4 })
  report({ ...leads, message: 'follower in term 3' })
  report({ ...leads, message: 'leader in term 4' })
  report({ level: 'warn', message: 'node 2 is gone' })
  report({ level: 'warn', message: 'node 2 is gone' })
  expect(lines.map(({ group, msg }) => [group, msg])).toEqual([
    [3, 'leader in term 2'],
    [4, 'leader in term 2'],
    [3, 'follower in term 3'],
    [3, 'leader in term 4'],
    [undefined, 'node 2 is gone'],
    [undefined, 'node 2 is gone'],
  ])
})
