// docs/reference/metrics.md against what is registered: every metric with its type and help, and nothing else.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { BrokerCounters, createMetrics, type MetricSources } from './metrics.ts'

const page = readFileSync(new URL('../../../../docs/reference/metrics.md', import.meta.url), 'utf8')

const NO_SNAPSHOTS = { bytesSent: 0, bytesReceived: 0, sent: 0, installed: 0, taken: 0, sending: 0, waiting: 0 }
const NO_REPAIRS = {
  ...{ framesRepaired: 0, bytesRepaired: 0, framesServed: 0, statesFetched: 0, stateBytesFetched: 0, statesServed: 0 },
}

test('the reference of metrics has one row per metric', async () => {
  const stats = { fsyncs: 0, fsyncMsTotal: 0, bytesWritten: 0, stuckMs: 0, diskFreeBytes: 0 }
  const metrics = createMetrics({
    counters: new BrokerCounters(),
    node: {
      snapshots: () => ({ ...NO_SNAPSHOTS, transfers: [] }),
      repairs: () => ({ ...NO_REPAIRS, running: 0 }),
    },
    topics: {
      replicas: () => [],
      retention: () => ({ trims: 0, recordsTrimmed: 0, isClockInDoubt: false }),
    } as unknown as MetricSources['topics'],
    logStore: { acceptsAppends: true, stats: () => stats } as unknown as NonNullable<MetricSources['logStore']>,
  })
  const text = await metrics.render()
  metrics.close()
  const types = new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name, type]))
  const registered = [...text.matchAll(/^# HELP (\w+) (.+)$/gm)].map(
    ([, name, help]) => `| \`${name}\` | ${types.get(name)} | ${help} |`,
  )
  const rows = page.split('\n').filter(line => line.startsWith('| `millrace_'))
  expect(rows.toSorted()).toEqual(registered.toSorted())
})
