// docs/reference/defaults.md against the sources: every default is there, with its value, and nothing else is.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ALONE_TIMING } from '../../packages/broker/src/node/start-broker.ts'
import { CALL_DEFAULTS, CLIENT_DEFAULTS } from '../../packages/client/src/client-options.ts'
import { TIMING_DEFAULTS } from '../../packages/raft-node/src/host-services.ts'
import { BALANCE_DEFAULTS } from '../../packages/topics/src/leader-balancer.ts'
import { TOPIC_DEFAULTS } from '../../packages/topics/src/topic-config.ts'
import { waitsOf } from './source-bounds.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/reference/defaults.md'), 'utf8')

/** The tables of the page, each as name to value. */
const tables = page
  .split(/\n\n+/)
  .map(block => [...block.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name, value]) => [name, value]))
  .filter(rows => rows.length > 0)
  .map(rows => Object.fromEntries(rows))

const asText = (values: object): object =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]))

test.each([
  ['a topic', TOPIC_DEFAULTS],
  ['a client', CLIENT_DEFAULTS],
  ['single calls', CALL_DEFAULTS],
  ['timing of a cluster', { ...TIMING_DEFAULTS, ...BALANCE_DEFAULTS }],
  ['timing of a broker alone', ALONE_TIMING],
] as const)('defaults: %s', (_, values) => {
  const first = Object.keys(values)[0]!
  const table = tables.find(rows => Object.keys(rows).includes(first) && same(Object.keys(rows), Object.keys(values)))
  expect(table).toEqual(asText(values))
})

test('times that are no settings', () => {
  const listed = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| `([\w/.-]+)` \| .+ \|$/gm)].map(
    ([, name, value, file]) => `${name} in ${file}: ${value}`,
  )
  const found = ['topics', 'broker', 'client']
    .flatMap(waitsOf)
    .filter(({ name }) => !/MAX|DAY_MS/.test(name))
    .map(wait => `${wait.name} in ${wait.package}/${wait.file}: ${wait.value}`)
  expect(listed).toEqual(found)
})

function same(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every(name => others.includes(name))
}
