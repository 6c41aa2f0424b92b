// The code of docs/concepts/append.md and observables.md, as it stands there: each block is run, in order, in one scope.
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { lastValueFrom } from 'rxjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CLIENT_DEFAULTS, type Client, connect, json, MillraceError, processEach, values } from './index.ts'
import { FakeCluster } from './testing/fake-cluster.ts'

let cluster: FakeCluster
const opened: Client[] = []

beforeEach(async () => {
  cluster = await FakeCluster.start({ orders: 3 })
})
afterEach(async () => {
  await Promise.all(opened.map(client => client.close()))
  await cluster[Symbol.asyncDispose]()
})

function codeOf(page: string): string {
  const text = readFileSync(new URL(`../../../docs/concepts/${page}`, import.meta.url), 'utf8')
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code).join('\n')
}

async function run(page: string, scope: Readonly<Record<string, unknown>>): Promise<void> {
  const names = Object.keys(scope)
  const code = stripTypeScriptTypes(codeOf(page))
  const body = new Function(...names, `return (async () => {${code}\n})()`) as (...args: unknown[]) => Promise<void>
  await body(...names.map(name => scope[name]))
}

const openFake = (): Client => {
  const client = connect(cluster.urls)
  opened.push(client)
  return client
}

test('append.md', async () => {
  const failures: unknown[] = []
  await run('append.md', {
    connect: openFake,
    json,
    MillraceError,
    putAside: () => expect.unreachable(),
    report: (error: unknown) => failures.push(error),
    backlog: Array.from({ length: 50 }, (_, i) => ({ id: `b-${i}`, total: i })),
  })
  expect(failures).toEqual([])
  const stored = [0, 1, 2].map(partition => cluster.partition('orders', partition).highWatermark)
  expect(stored.reduce((a, b) => a + b)).toBe(1 + 2 + 1 + 50 + 2)
})

test('observables.md', async () => {
  const shown: unknown[] = []
  const stored: unknown[] = []
  const orders = openFake().topic('orders', { value: json<{ total: number }>() })
  await orders.appendMany([1, 2, 3].map(total => ({ key: `c-${total}`, value: { total } })))
  await run('observables.md', {
    connect: openFake,
    json,
    values,
    processEach,
    lastValueFrom,
    show: (order: unknown) => shown.push(order),
    store: (order: unknown) => stored.push(order),
  })
  expect(stored).toHaveLength(3)
  await expect.poll(() => shown.length).toBe(6)
})

test('append.md has a row for each option, with its default', () => {
  const text = readFileSync(new URL('../../../docs/concepts/append.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\w+) \| /gm)].map(([, name, value]) => [name, value])
  expect(Object.fromEntries(rows)).toEqual(
    Object.fromEntries(Object.entries(CLIENT_DEFAULTS).map(([name, value]) => [name, String(value)])),
  )
})
