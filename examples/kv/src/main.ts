/**
 * A node of a linearizable key-value store: one Raft group on the nodes of cluster.json.
 *
 *     node --conditions=millrace-source examples/kv/src/main.ts --id 1 --data FOLDER [--init] [--cluster FILE]
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { openDataFolder, openSegmentedLogStore } from '@millrace/log-store'
import { createGrpcTransport, createNode } from '@millrace/raft-node'
import { keyValueServer } from './http-server.ts'
import { KeyValueMap } from './key-value-map.ts'

interface Cluster {
  readonly clusterId: string
  readonly nodes: Readonly<Record<string, { readonly peers: string; readonly http: string }>>
}

const GROUP = 1
const { values } = parseArgs({
  options: {
    id: { type: 'string', default: '1' },
    data: { type: 'string', default: 'kv-data' },
    init: { type: 'boolean', default: false },
    cluster: { type: 'string', default: `${import.meta.dirname}/../cluster.json` },
  },
})
const { clusterId, nodes } = JSON.parse(readFileSync(values.cluster, 'utf8')) as Cluster
const nodeId = Number(values.id)
const own = nodes[nodeId]
if (own === undefined) throw new Error(`${values.cluster} has no node ${values.id}`)
const portOf = (address: string): number => Number(new URL(`http://${address}`).port)
const log = (line: string): boolean => process.stderr.write(`${line}\n`)
/** What could not be written may or may not be stored: only a new process can tell. */
const fail = (error: Error): never => {
  log(`node ${nodeId} stops: ${error.message}`)
  process.exit(1)
}

const identity = { clusterId, nodeId }
const ownership = { expectedIdentity: identity, ...(values.init && { create: identity }) }
const folder = await openDataFolder(values.data, ownership)
const logStore = await openSegmentedLogStore({ dir: folder.logDir, onFatal: fail })

const peers = new Map(Object.keys(nodes).map(id => [Number(id), nodes[id]!.peers]))
const transport = createGrpcTransport({ nodeId, clusterId, listen: { port: portOf(own.peers) }, peers })
const node = await createNode({ nodeId, logStore, transport, log: event => log(`${event.level} ${event.message}`) })
if (values.init) await node.bootstrap({ clusterId, group: GROUP, nodes: [...peers.keys()], leaseReads: true })
const map = new KeyValueMap()
const group = await node.open(GROUP, map.machine)
const server = keyValueServer(group, map, id => `http://${nodes[id]!.http}`)
server.on('error', fail).listen(portOf(own.http), '127.0.0.1', () => log(`node ${nodeId} serves http://${own.http}`))

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void stop().catch(fail))

/** Hands the leadership over, finishes what is under way, and lets go of the folder. */
async function stop(): Promise<void> {
  server.close()
  await node.shutdown()
  await logStore.close()
  await folder.close()
  server.closeAllConnections()
}
