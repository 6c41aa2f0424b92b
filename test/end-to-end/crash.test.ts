import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { createTopic, readAll, runMillrace, startCluster, waitFor } from './testkit.ts'

const ROUNDS = 10
const WRITERS = 6

interface Acknowledged {
  readonly value: string
  readonly partition: number
  readonly offset: number
}

it('All three processes killed with SIGKILL during a running append, started again, ten times in a row: everything acknowledged is there, at its offset', async () => {
  await using cluster = await startCluster()
  await createTopic(cluster.urls[0]!, 'orders')
  const acknowledged: Acknowledged[] = []
  let unanswered = 0
  for (let round = 0; round < ROUNDS; round++) {
    await cluster.leaders('orders')
    const stop = new AbortController()
    const before = acknowledged.length
    const writers = Array.from({ length: WRITERS }, (_, writer) => write(`${round}-${writer}`, stop.signal))
    // At another moment each time, and never before there is something to lose.
    const enough = before + 10 + 15 * round
    await waitFor(() => acknowledged.length >= enough, { what: 'acknowledgements', timeoutMs: 60_000, everyMs: 1 })
    await cluster.processes.crash()
    stop.abort()
    await Promise.all(writers)
    await cluster.processes.start()
    await check()
  }
  expect(unanswered, 'kills hit appends that were under way').toBeGreaterThan(0)
  await cluster.processes.crash()
  const verified = await Promise.all(cluster.nodes.map(({ layout }) => runMillrace(['log', 'verify', layout.dataDir])))
  for (const { exitCode, stdout, stderr } of verified) expect(exitCode, stdout + stderr).toBe(0)

  /** Appends until the cluster is gone. What fails is neither promised nor denied. */
  async function write(name: string, signal: AbortSignal): Promise<void> {
    for (let count = 0; !signal.aborted; count++) {
      const value = `${name}-${count}`
      const url = cluster.urls[count % 3]!
      try {
        const response = await fetch(`${url}/v1/topics/orders/records`, { method: 'POST', body: Buffer.from(value) })
        if (!response.ok) continue
        const stored = (await response.json()) as Omit<Acknowledged, 'value'>
        acknowledged.push({ ...stored, value })
      } catch {
        unanswered += 1
        if (signal.aborted) return
        await sleep(5)
      }
    }
  }

  async function check(): Promise<void> {
    await cluster.leaders('orders')
    const stored = await readAll(cluster.urls[0]!, 'orders')
    const at = new Map(stored.map(record => [`${record.partition}/${record.offset}`, record.value]))
    expect(at.size, 'each offset once').toBe(stored.length)
    for (const { value, partition, offset } of acknowledged) expect(at.get(`${partition}/${offset}`)).toBe(value)
    for (const partition of [0, 1, 2]) {
      const offsets = stored.filter(record => record.partition === partition).map(record => record.offset)
      expect(offsets, `dense offsets of partition ${partition}`).toEqual(offsets.map((_, index) => index))
    }
    const values = stored.map(record => record.value)
    expect(new Set(values).size, 'no duplicate').toBe(values.length)
  }
})
