import { expect, test } from 'vitest'
import { createMemoryNetwork, type MemoryNetwork } from './memory-network.ts'
import { describeBeats } from './testing/beat-contract.ts'
import { describeFrameQuestions } from './testing/frame-contract.ts'
import { RecordingHandler, type TransportNetwork } from './testing/recording-handler.ts'
import { describeTransport } from './testing/transport-contract.ts'
import { until } from './testing/until.ts'
import type { GroupMessage, Transport } from './transport.ts'

const openNetwork = async (): Promise<TransportNetwork> => {
  const network = createMemoryNetwork()
  return { transport: async node => network.transport(node) }
}

describeTransport('the memory network', openNetwork)
describeBeats('the memory network', openNetwork)
describeFrameQuestions('the memory network', openNetwork)

async function pair(network: MemoryNetwork): Promise<{ a: Transport; seenByB: RecordingHandler }> {
  const a = network.transport(1)
  const b = network.transport(2)
  const seenByB = new RecordingHandler()
  await a.start(new RecordingHandler())
  await b.start(seenByB)
  return { a, seenByB }
}

function heartbeat(context: number): GroupMessage {
  return { group: 1, message: { type: 'heartbeat', from: 1, to: 2, term: 1, commit: 0, context } }
}

function contexts(handler: RecordingHandler): number[] {
  return handler.received.map(({ message }) => ('context' in message.message ? message.message.context : -1))
}

test('a cut link loses messages in its direction until it heals', async () => {
  const network = createMemoryNetwork()
  const { a, seenByB } = await pair(network)
  network.cut(1, 2)
  a.send(2, [heartbeat(1)])
  network.heal()
  a.send(2, [heartbeat(2)])
  await until('the second arrives', () => seenByB.received.length > 0)
  expect(contexts(seenByB)).toEqual([2])
})

test('faults follow the randomness that is given: drop, duplicate, delay', async () => {
  const draws = [0, 999, 999]
  const network = createMemoryNetwork({ randomInt: () => draws.shift() ?? 500 })
  const { a, seenByB } = await pair(network)
  network.setFaults({ dropPermille: 100, duplicatePermille: 100 })
  a.send(2, [heartbeat(1), heartbeat(2), heartbeat(3)])
  await until('what survives arrives', () => seenByB.received.length >= 2)
  expect(contexts(seenByB)).toEqual([2, 3])
  draws.push(999, 0)
  a.send(2, [heartbeat(4)])
  await until('both copies arrive', () => seenByB.received.length === 4)
  expect(contexts(seenByB)).toEqual([2, 3, 4, 4])
})

test('unequal delays reorder', async () => {
  const delays = [40, 1]
  const network = createMemoryNetwork({ randomInt: () => delays.shift() ?? 0 })
  const { a, seenByB } = await pair(network)
  network.setFaults({ delayMsMax: 50 })
  a.send(2, [heartbeat(1)])
  a.send(2, [heartbeat(2)])
  await until('both arrive', () => seenByB.received.length === 2)
  expect(contexts(seenByB)).toEqual([2, 1])
})
