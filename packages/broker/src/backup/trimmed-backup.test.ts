/** A partition that retention has trimmed is backed up from its log start on, and restored as it was. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { durableCluster } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { expectHashes, freshFolders, startAll } from '../testing/restored-cluster.ts'
import { createBackup } from './create-backup.ts'
import { restoreBackup } from './restore-backup.ts'
import { verifyBackup } from './verify-backup.ts'

async function offsetsOf(url: string): Promise<readonly number[]> {
  const text = await (await fetch(`${url}/v1/topics/orders/records?from=earliest`)).text()
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => (JSON.parse(line) as { offset: number }).offset)
}

test('records, log start and next offset come back, and what was removed does not', async () => {
  const cluster = await durableCluster(1, { 'retention.intervalMs': '1s' })
  const { url } = await cluster.start(1)
  const records = `${url}/v1/topics/orders/records`
  await fetch(`${url}/v1/topics`, { method: 'POST', body: JSON.stringify({ name: 'orders', partitions: 1 }) })
  const append = async (to: string): Promise<unknown> =>
    (await (await fetch(to, { method: 'POST', body: Buffer.from('x') })).json()) as unknown
  for (let i = 0; i < 10; i++) await append(records)
  expect((await fetch(`${records}?partition=0&before=6`, { method: 'DELETE' })).status).toBe(200)
  const out = join(temporaryFolder(), 'backup')
  await expect
    .poll(async () => (await createBackup({ urls: [url], out: `${out}-${performance.now()}` })).groups[1]!.base.index, {
      timeout: 20_000,
      interval: 500,
    })
    .toBeGreaterThan(1)
  const manifest = await createBackup({ urls: [url], out })
  expect((await verifyBackup(out)).damage).toEqual([])
  await cluster.close()
  const configs = freshFolders(cluster.configs)
  for (const config of configs) await restoreBackup(out, config, { clusterId: 'restored' })
  const [restored] = await startAll(configs)
  await expect.poll(() => offsetsOf(restored!.url), { timeout: 20_000 }).toEqual([6, 7, 8, 9])
  await expectHashes(restored!, { groups: manifest.groups })
  const again = `${restored!.url}/v1/topics/orders/records`
  expect((await fetch(`${again}?partition=0&from=5`)).status).toBe(416)
  expect(await append(again)).toMatchObject({ offset: 10 })
  await restored!.close()
})
