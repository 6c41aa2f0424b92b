// docs/reference/limits.md against the sources: every bound is there, with its value, and nothing else is.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SETTINGS } from '../../packages/broker/src/config/settings.ts'
import { boundsOf } from './source-bounds.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/reference/limits.md'), 'utf8')

/** Ends of ranges, layouts and arguments: names like those of bounds, but nothing is ever refused or waits for them. */
const NO_BOUNDS: ReadonlySet<string> = new Set([
  'record bytesMax',
  'record COLUMN_BYTES_MAX',
  'record CREATE_TIME_MAX',
  'record FIXED_BYTES_MAX',
  'record INT32_MAX',
  'raft-node PROTOCOL_MAX',
  'raft-node SCALE_MAX',
  'topics TREE_DEPTH_MAX',
  'topics UINT32_MAX',
  'broker PROTOCOL_MAX',
  'client SEQUENCE_MAX',
  'cli DATE_MS_MAX',
  'cli FREE_PORT_MAX',
  'cli HOLD_MS_MAX',
  'cli PORT_MAX',
  'cli VALUE_MAX',
])

/** Package and table of each section. */
const packages = page.split(/^## /m).flatMap(section => {
  const name = /^Package `([\w-]+)`\.$/m.exec(section)?.[1]
  return name === undefined ? [] : [[name, section] as const]
})

test.each(packages)('the bounds of %s', (name, section) => {
  const listed = [...section.matchAll(/^\| `(\w+)` \| ([\d,]+) \| \w+ \| `([\w/.-]+)` \| .+ \|$/gm)].map(
    ([, bound, value, file]) => `${bound} in ${file}: ${Number(value!.replaceAll(',', ''))}`,
  )
  const found = boundsOf(name)
    .filter(bound => !NO_BOUNDS.has(`${name} ${bound.name}`))
    .map(bound => `${bound.name} in ${bound.file}: ${bound.value}`)
  expect(listed.toSorted()).toEqual(found.toSorted())
})

test('there is a table for every package with bounds', () => {
  const names = packages.map(([name]) => name)
  const all = ['record', 'raft-core', 'log-store', 'raft-node', 'topics', 'broker', 'client', 'cli']
  expect(names.toSorted()).toEqual(all.toSorted())
})

test('the settings that are bounds', () => {
  const listed = [...page.matchAll(/^\| `([a-z]+\.\w+)` \| (\S+) \| .+ \|$/gm)].map(([, name, value]) => [name, value])
  const bounds = SETTINGS.filter(({ name }) => /^(limits|storage)\..*Max$/.test(name))
  expect(listed).toEqual(bounds.map(({ name, defaultText }) => [name, defaultText]))
})
