/** One node of one group as a process of its own: files, sockets. Arguments: node id, folder, ports of all nodes. */
import { openSegmentedLogStore } from '@millrace/log-store'
import {
  birthGroup,
  createGrpcTransport,
  createNode,
  type GroupHandle,
  payloadCopies,
  replayedMachine,
} from '@millrace/raft-node'
import { FrameCodec, FrameKind, NO_PRODUCER } from '@millrace/record'
import { percentile } from '../statistics.ts'
import type { RunOrder, RunReport, StateOrder, StateReport } from './messages.ts'

const GROUP = 1

const [id, dir, ...ports] = process.argv.slice(2) as [string, string, ...string[]]
const nodeId = Number(id)
const peers = new Map(ports.map((port, i) => [i + 1, `127.0.0.1:${port}`]))
const onFatal = (error: Error): void => {
  throw error
}
const logStore = await openSegmentedLogStore({ dir, onFatal, diskReserveBytes: 0 })
const transport = createGrpcTransport({
  nodeId,
  clusterId: 'bench',
  listen: { port: Number(ports[nodeId - 1]) },
  peers,
})
const node = await createNode({ nodeId, logStore, transport })
await birthGroup(logStore, { clusterId: 'bench', group: GROUP, nodes: [...peers.keys()], nodeId })
const group = await node.open(
  GROUP,
  replayedMachine(() => undefined),
)
payloadCopies.on = true

let cpu = process.cpuUsage()

function state(): StateReport {
  const { user, system } = process.cpuUsage(cpu)
  cpu = process.cpuUsage()
  const { sealed, sent, received, owned } = payloadCopies
  Object.assign(payloadCopies, { sealed: 0, sent: 0, received: 0, owned: 0 })
  return {
    type: 'state',
    leading: group.leading,
    cpuMs: (user + system) / 1_000,
    copiedToSeal: sealed,
    copiedToSend: sent,
    copiedOnArrival: received + owned,
  }
}

/** Keeps `inFlight` entries under way, or as many as the node takes. */
function run(handle: GroupHandle, order: RunOrder): Promise<RunReport> {
  const { entryBytes, inFlight, durationMs, bytesMax } = order
  const payload = new Uint8Array(entryBytes).fill(97)
  const body = {
    ...{ kind: FrameKind.command, codec: FrameCodec.none, recordCount: 0 },
    ...{ producerId: NO_PRODUCER, producerEpoch: 0, sequence: 0, payload },
  }
  const samples: number[] = []
  const startedMs = performance.now()
  let open = 0
  let proposed = 0
  return new Promise((resolve, reject) => {
    const settle = (sentMs: number): void => {
      const nowMs = performance.now()
      samples.push(nowMs - sentMs)
      open -= 1
      fill(nowMs)
      if (open > 0) return
      resolve({ type: 'ran', entries: samples.length, ms: nowMs - startedMs, p50Ms: percentile(samples, 0.5) })
    }
    const fill = (nowMs: number): void => {
      if (nowMs - startedMs > durationMs) return
      while (open < inFlight && proposed < bytesMax) {
        const sentMs = performance.now()
        const taken = handle.propose(body, {
          applied: () => settle(sentMs),
          failed: (_outcome, reason) => reject(new Error(reason)),
        })
        if (taken.type === 'dropped' && taken.reason === 'uncommittedBytesMax' && open > 0) return
        if (taken.type === 'dropped') {
          reject(new Error(taken.message))
          return
        }
        open += 1
        proposed += entryBytes
      }
    }
    fill(startedMs)
  })
}

process.on('message', (order: RunOrder | StateOrder) => {
  if (order.type === 'state') process.send?.(state())
  else void run(group, order).then(report => process.send?.(report), onFatal)
})
process.on('disconnect', () => process.exit(0))
process.send?.({ type: 'ready' })
