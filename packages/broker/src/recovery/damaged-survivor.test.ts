/** A survivor whose log has a range that cannot be read: nobody is left to repair it from. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createBackup } from '../backup/create-backup.ts'
import { durableCluster } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { startAll, status } from '../testing/restored-cluster.ts'
import { recoverNode } from './recover-node.ts'

const RECORDS = 40
const DAMAGED = 20

test('goes on without that range: what is before and after it is read, and appends are taken', async () => {
  const cluster = await durableCluster(3)
  await Promise.all([1, 2, 3].map(node => cluster.start(node)))
  const config = cluster.configs[0]!
  const url = `http://${config.listen.client}`
  await fetch(`${url}/v1/topics`, { method: 'POST', body: '{"name":"orders","partitions":1}' })
  const records = `${url}/v1/topics/orders/records`
  const append = async (value: string) => (await fetch(records, { method: 'POST', body: value })).status
  for (let i = 0; i < RECORDS; i++) await expect.poll(() => append(`value ${i}.`), { timeout: 20_000 }).toBe(200)
  // Node 1 has all of it before its cluster is lost.
  await expect.poll(() => cluster.nodes[0]!.context.topics.partition('orders', 0)?.highWatermark).toBe(RECORDS)
  await cluster.close()

  const folder = join(config.dataDir, 'log/groups/1')
  const segment = join(folder, readdirSync(folder).find(name => name.endsWith('.log'))!)
  const bytes = readFileSync(segment)
  bytes[bytes.indexOf(`value ${DAMAGED}.`)]! ^= 1
  writeFileSync(segment, bytes)
  const { groups } = await recoverNode(config, { acceptDataLoss: true })
  expect(groups[1]).toMatchObject({
    state: 'log',
    nextOffset: RECORDS,
    damaged: [[expect.any(Number), expect.any(Number)]],
  })

  const [node] = await startAll([{ ...config, cluster: { nodes: config.cluster.nodes.slice(0, 1) } }])
  await expect.poll(() => status(records), { timeout: 20_000 }).toBe(200)
  const read = async (from: string) => (await fetch(`${records}?from=${from}`)).text()
  const before = await read('earliest')
  expect(before).toContain(`"value ${DAMAGED - 1}."`)
  expect(before).toContain('RANGE_DAMAGED')
  expect(before).not.toContain(`"value ${DAMAGED + 1}."`)
  const after = await read(String(DAMAGED + 1))
  expect(after).toContain(`"value ${RECORDS - 1}."`)
  expect(after).not.toContain('RANGE_DAMAGED')
  // A backup without that range would not be one.
  const out = join(temporaryFolder(), 'backup')
  await expect(createBackup({ urls: [url], out })).rejects.toThrow(/orders\/0 cannot be copied: .*damaged/)
  await node!.close()
}, 90_000)
