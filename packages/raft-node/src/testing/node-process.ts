/**
 * A node as a process of its own, for tests that kill it: sockets, files, one group. While it leads it appends numbered
 * entries and reports each that was applied. Arguments: node id, folder, run (a label; `leased…`: the
 * group has lease reads, and its leader makes them all the time), ports of all nodes.
 */
import { openSegmentedLogStore } from '@millrace/log-store'
import { birthRecord } from '../birth-record.ts'
import { createGrpcTransport } from '../grpc/grpc-transport.ts'
import { createNode } from '../raft-host.ts'
import { ListMachine } from './list-machine.ts'
import { configurationOf, FAST, propose, replicaOn } from './test-cluster.ts'

/** What the process tells its parent. */
export type NodeReport =
  | { readonly type: 'applied'; readonly text: string; readonly index: number; readonly offset: number }
  | { readonly type: 'entries'; readonly entries: readonly string[] }
  /** How many entries a read under the lease has seen, and when on the wall clock. */
  | { readonly type: 'leaseRead'; readonly count: number; readonly atMs: number }

const GROUP = 7
const IN_FLIGHT = 16
const PAUSE_MS = 2

const [id, folder, run, ...ports] = process.argv.slice(2) as [string, string, string, ...string[]]
const nodeId = Number(id)
const nodes = ports.map((_, i) => i + 1)
const peers = new Map(ports.map((port, i) => [i + 1, `127.0.0.1:${port}`]))

function report(message: NodeReport): void {
  process.send?.(message)
}

const onFatal = (error: Error): void => {
  throw error
}
const logStore = await openSegmentedLogStore({ dir: `${folder}/${id}`, onFatal, diskReserveBytes: 0 })
const transport = createGrpcTransport({
  nodeId,
  clusterId: 'test',
  listen: { port: Number(ports[nodeId - 1]) },
  peers,
})
const node = await createNode({ nodeId, logStore, transport, timing: FAST })
if (logStore.groups().length === 0) {
  const configuration = { ...configurationOf(nodes), leaseReads: run.startsWith('leased') }
  const birth = { clusterId: 'test', group: GROUP, createIndex: 1, createTimestamp: 1, configuration }
  await logStore.create(GROUP, { replicaId: replicaOn(nodeId), base: birthRecord(birth) })
}
const machine = new ListMachine()
const handle = await node.open(GROUP, machine)

let appending = true
let sent = 0
let open = 0

process.on('message', message => {
  if (message === 'stop appending') appending = false
  if (message === 'entries') report({ type: 'entries', entries: machine.entries })
})
process.on('disconnect', () => process.exit(0))

setInterval(() => {
  // A leader that drops a proposal learns why only in its next turn: trying again at once would keep that from coming.
  while (appending && handle.leading && open < IN_FLIGHT) if (!appendOne()) break
}, PAUSE_MS)

if (run.startsWith('leased')) setInterval(readUnderLease, 1)

function readUnderLease(): void {
  const read = handle.leaseRead(() => ({ count: machine.entries.length, atMs: Date.now() }))
  // Without a lease nothing is read, which is what the test is about.
  read.then(seen => report({ type: 'leaseRead', ...seen })).catch(() => undefined)
}

/** @returns whether the proposal was taken */
function appendOne(): boolean {
  const text = `${run}.${id}.${sent++}`
  open++
  const proposal = propose(handle, text)
  const settled = (): void => {
    open--
    if (proposal.ending?.type !== 'applied') return
    const { index, baseOffset } = proposal.ending.frame.header
    report({ type: 'applied', text, index, offset: baseOffset })
  }
  proposal.settled = settled
  const isTaken = proposal.result.type !== 'dropped'
  if (!isTaken) settled()
  return isTaken
}
