/** Clocks of other nodes beside the own one. The bound of an answer is the bound of the error. */
import { expect, test } from 'vitest'
import { startFakeNodes } from '../testing/fake-node.ts'
import { processClock } from '../timing.ts'
import type { NodeDirectory } from './node-directory.ts'
import { peerSkewsMs } from './peer-clocks.ts'

const HOUR_MS = 3_600_000
/** Half of the time that an answer may take, and what is lost by rounding. */
const ERROR_MS_MAX = 1_001

test('nodes whose clocks agree are no time apart, and one that is set is apart from all', async () => {
  const nodes = await startFakeNodes(3)
  const { directory } = nodes[0]!.context
  const agreed = await peerSkewsMs(directory, [2, 3], processClock)
  expect(agreed).toHaveLength(2)
  for (const skewMs of agreed) expect(Math.abs(skewMs)).toBeLessThanOrEqual(ERROR_MS_MAX)
  const ahead = { ...processClock, wallMs: () => processClock.wallMs() + HOUR_MS }
  for (const skewMs of await peerSkewsMs(directory, [2, 3], ahead))
    expect(Math.abs(skewMs + HOUR_MS)).toBeLessThanOrEqual(ERROR_MS_MAX)
  await Promise.all(nodes.map(node => node.close()))
})

test('the way there and back does not count', async () => {
  let monotonicMs = 0
  const answer = async (): Promise<{ now: bigint }> => {
    monotonicMs += 400
    return { now: 10_200n }
  }
  const directory = { clients: () => ({ cluster: { describeCluster: answer } }) } as unknown as NodeDirectory
  const clocks = { wallMs: () => 10_000 + monotonicMs, monotonicMs: () => monotonicMs }
  expect(await peerSkewsMs(directory, [2], clocks)).toEqual([0])
})

test('a node that is unknown, does not answer, or does not say has no say', async () => {
  const answers: Readonly<Record<number, () => Promise<{ now: bigint }>>> = {
    2: () => Promise.reject(new Error('connection refused')),
    3: async () => ({ now: 0n }),
    4: async () => ({ now: 1_000n }),
  }
  const clients = (node: number): object | undefined => answers[node] && { cluster: { describeCluster: answers[node] } }
  const clocks = { wallMs: () => 1_000, monotonicMs: () => 0 }
  expect(await peerSkewsMs({ clients } as unknown as NodeDirectory, [2, 3, 4, 5], clocks)).toEqual([0])
})
