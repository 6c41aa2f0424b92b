/**
 * What groups cost in which nothing happens: three nodes in one process, connected over gRPC on loopback, logs in memory,
 * default timing. Processor time of all three together, of one core.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { birthGroup, createGrpcTransport, createNode, type RaftNode, replayedMachine } from '@millrace/raft-node'
import { freePorts, waitFor } from '@millrace/testkit'

const NODES = [1, 2, 3]
const GROUPS = 500
const SETTLE_MS = 5_000
const TURNS = 3
const TURN_MS = 10_000

/** `pnpm bench idle-groups [--groups N]` */
export async function benchIdleGroups(args: readonly string[]): Promise<void> {
  const at = args.indexOf('--groups')
  const groups = at < 0 ? GROUPS : Number(args[at + 1])
  const nodes = await startNodes(groups)
  const led = (node: RaftNode): number => node.groups().filter(group => group.leading).length
  const sumOfLed = (): number => nodes.reduce((sum, node) => sum + led(node), 0)
  await waitFor(() => sumOfLed() === groups, { what: 'a leader of every group', timeoutMs: 60_000 })
  process.stdout.write(`${groups} groups on ${nodes.length} nodes; leaders per node: ${nodes.map(led).join(', ')}\n`)
  await sleep(SETTLE_MS)
  for (let turn = 0; turn < TURNS; turn++) {
    const before = process.cpuUsage()
    const startedMs = performance.now()
    await sleep(TURN_MS)
    const { user, system } = process.cpuUsage(before)
    const share = (100 * (user + system)) / 1_000 / (performance.now() - startedMs)
    process.stdout.write(`idle: ${share.toFixed(1)} % of one core\n`)
  }
  for (const node of nodes) await node.shutdown()
}

async function startNodes(groups: number): Promise<RaftNode[]> {
  const ports = await freePorts(NODES.length)
  const peers = new Map(NODES.map((node, i) => [node, `127.0.0.1:${ports[i]}`]))
  return Promise.all(
    NODES.map(async (nodeId, i) => {
      const logStore = new MemoryLogStore()
      const transport = createGrpcTransport({ nodeId, clusterId: 'bench', listen: { port: ports[i]! }, peers })
      const node = await createNode({ nodeId, logStore, transport })
      for (let group = 1; group <= groups; group++) {
        await birthGroup(logStore, { clusterId: 'bench', group, nodes: NODES, nodeId })
        await node.open(
          group,
          replayedMachine(() => undefined),
        )
      }
      return node
    }),
  )
}
