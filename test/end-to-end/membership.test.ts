/** The commands that change who belongs to a cluster, as a person runs them, on processes that are killed. */
import { rmSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  appendOne,
  createTopic,
  ONE_LINE,
  readAll,
  runMillrace,
  startCluster,
  startMillrace,
  type TestCluster,
  waitFor,
} from './testkit.ts'

let cluster: TestCluster
beforeEach(async () => {
  cluster = await startCluster()
})
afterEach(() => cluster[Symbol.asyncDispose]())

const millrace = (...args: string[]) => runMillrace([...args, '--url', cluster.urls.join(',')])

it('a node that was killed and lost its folder is replaced, and the command says how far it is', async () => {
  await createTopic(cluster.urls[0]!, 'kept', 2)
  for (let i = 0; i < 20; i++) await appendOne(cluster.urls[0]!, 'kept', `value ${i}`, i % 2)
  const refused = await millrace('cluster', 'replace-node', '2')
  expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(ONE_LINE) as string })
  expect(refused.stderr).toContain('node 2 runs')

  const lost = cluster.nodes[1]!
  await lost.crash()
  const { dataDir, configFile } = cluster.processes.layouts[1]!
  rmSync(dataDir, { recursive: true })
  await waitFor(async () => (await millrace('cluster', 'replace-node', '2', '--no-wait')).exitCode === 0, {
    what: 'the others to see that node 2 is gone',
    timeoutMs: 20_000,
  })
  await using replacing = startMillrace(['cluster', 'replace-node', '2', '--url', cluster.urls[2]!])
  await waitFor(() => replacing.stderr.includes('node 2: waits for the node to join'), {
    what: 'the first line of progress',
    timeoutMs: 20_000,
  })
  const prepared = await runMillrace(['init', '--join', cluster.urls[0]!, '--config', configFile])
  expect(prepared).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('is ready to join') as string })
  await lost.start()
  expect(await replacing.ended).toMatchObject({
    exitCode: 0,
    stderr: expect.stringContaining('node 2 takes part in all its groups') as string,
  })
  await lost.ready()
  await appendOne(cluster.urls[1]!, 'kept', 'after', 0)
  expect(await readAll(cluster.urls[1]!, 'kept')).toHaveLength(21)
  await waitFor(async () => (await millrace('cluster', 'status')).exitCode === 0, {
    what: 'a healthy cluster',
    timeoutMs: 20_000,
  })

  const tooFew = await millrace('cluster', 'remove-node', '1')
  expect(tooFew).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(ONE_LINE) as string })
  expect(tooFew.stderr).toContain('topic kept has 3 replicas')
}, 60_000)
