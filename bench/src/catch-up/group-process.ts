/** One node with a group of each kind, as a process of its own: files, sockets. Takes orders over its IPC channel. */
import { join } from 'node:path'
import { openSegmentedLogStore, openSnapshotFolder } from '@millrace/log-store'
import {
  birthGroup,
  createGrpcTransport,
  createNode,
  type GroupHandle,
  GroupMembers,
  joinGroup,
  openFsm,
} from '@millrace/raft-node'
import { crc32, FrameCodec, FrameKind, NO_PRODUCER } from '@millrace/record'
import type { Answer } from './asked-process.ts'
import { BlobFsm, LogMachine, type NumberedState, numberedCommand } from './machines.ts'
import {
  type GroupReport,
  LOG_GROUP,
  type LoadOrder,
  type NodeSetup,
  type Order,
  STATE_GROUP,
  type StatusReport,
} from './messages.ts'
import { ELECTION_TIMEOUT_MIN_MS } from './promises.ts'

const RETENTION_EVERY_MS = 250
const PACE_EVERY_MS = 20
const DIGEST_BYTES = 4 * 1024 * 1024
/** Entries of the state's group that stay behind a snapshot: few, so that its log is trimmed again and again. */
const TRAILING_ENTRIES_MAX = 100

const fatal = (error: unknown): void => {
  throw error
}

const setup = JSON.parse(process.argv[2] ?? '') as NodeSetup
const { nodeId, dir, peers, joinAs } = setup
const logStore = await openSegmentedLogStore({
  dir: join(dir, 'log'),
  ...{ onFatal: fatal, diskReserveBytes: 0, trashKeepMs: 1_000, segmentBytesMax: setup.segmentBytesMax },
})
const snapshotStores = await openSnapshotFolder({ dir: join(dir, 'snapshots') })
const others = new Map(Object.entries(peers).map(([node, address]) => [Number(node), address]))
const node = await createNode({
  nodeId,
  logStore,
  transport: createGrpcTransport({ nodeId, clusterId: 'bench', listen: { port: setup.port }, peers: others }),
  timing: { electionTimeoutMinMs: ELECTION_TIMEOUT_MIN_MS },
  snapshots: { trailingEntriesMax: TRAILING_ENTRIES_MAX, ...setup.snapshots },
  log: ({ level, message, group = 0 }) => {
    if (level === 'error') process.stderr.write(`node ${nodeId}, group ${group}: ${message}\n`)
  },
})
for (const group of [LOG_GROUP, STATE_GROUP]) {
  if (joinAs === undefined) await birthGroup(logStore, { clusterId: 'bench', group, nodes: [...others.keys()], nodeId })
  else await joinGroup(logStore, { group, replica: joinAs })
}
const logMachine = await LogMachine.open(join(dir, 'log-state.json'), await snapshotStores.open(LOG_GROUP))
const fsm = new BlobFsm()

/** A replica with the commands that this process proposes to it. */
class LoadedGroup {
  readonly handle: GroupHandle
  readonly #state: () => NumberedState
  #order: LoadOrder | undefined
  #next = 0
  #open = 0
  /** What the pace allows by now; without one, everything. */
  #due = Number.POSITIVE_INFINITY
  #acknowledged = 0

  constructor(handle: GroupHandle, state: () => NumberedState) {
    this.handle = handle
    this.#state = state
  }

  get report(): GroupReport {
    const loading = this.#order !== undefined || this.#open > 0
    const base = this.handle.log.base.index
    const acknowledged = this.#acknowledged
    return { status: this.handle.status(), base, state: this.#state(), acknowledged, loading }
  }

  load(order: LoadOrder): void {
    this.#order = order
    this.#next = this.#state().next
    const last = this.#next + (order.entriesMax ?? Number.POSITIVE_INFINITY)
    if (order.perSecond === undefined) this.#due = last
    else this.#pace(order, this.#next, last)
    this.#fill()
  }

  stop(): void {
    this.#order = undefined
  }

  #pace(order: LoadOrder, first: number, last: number): void {
    const startedMs = performance.now()
    const timer = setInterval(() => {
      if (this.#order !== order) {
        clearInterval(timer)
        return
      }
      this.#due = Math.min(last, first + ((performance.now() - startedMs) / 1_000) * (order.perSecond ?? 0))
      this.#fill()
    }, PACE_EVERY_MS)
  }

  #fill(): void {
    const order = this.#order
    if (order === undefined) return
    while (this.#open < order.inFlight && this.#next < this.#due) {
      const payload = numberedCommand(this.#next, this.#next % order.keys, order.entryBytes)
      const body = {
        ...{ kind: FrameKind.command, codec: FrameCodec.none, recordCount: 0 },
        ...{ producerId: NO_PRODUCER, producerEpoch: 0, sequence: 0, payload },
      }
      const taken = this.handle.propose(body, {
        applied: () => {
          this.#acknowledged += 1
          this.#open -= 1
          this.#fill()
        },
        failed: (outcome, reason) => fatal(new Error(`a command is ${outcome}: ${reason}`)),
      })
      if (taken.type === 'dropped') {
        if (taken.reason === 'uncommittedBytesMax' && this.#open > 0) return
        fatal(new Error(`a command was refused: ${taken.message}`))
      }
      this.#open += 1
      this.#next += 1
    }
    if (this.#next >= this.#due && order.perSecond === undefined) this.#order = undefined
  }
}

const log = new LoadedGroup(await node.open(LOG_GROUP, logMachine), () => logMachine.state)
const state = new LoadedGroup(
  await node.open(STATE_GROUP, await openFsm(fsm, await snapshotStores.open(STATE_GROUP))),
  () => fsm.state,
)
const groupOf = (group: number): LoadedGroup => (group === LOG_GROUP ? log : state)

/** Retention as the owner of a log does it: all the time, as far as the snapshots under way allow. */
let trimming: Promise<unknown> | undefined
const retention = setInterval(() => {
  const to = log.handle.status().applied - setup.retainEntries
  if (trimming !== undefined || to <= log.handle.log.base.index) return
  trimming = log.handle.trimLog(to).then(() => {
    trimming = undefined
  }, fatal)
}, RETENTION_EVERY_MS)

async function digest({ handle }: LoadedGroup, from: number): Promise<number> {
  const end = handle.status().applied + 1
  let sum = handle.group === STATE_GROUP ? fsm.hash : logMachine.state.next
  for (let at = from; at < end; ) {
    const frames = await handle.log.read(at, end, DIGEST_BYTES)
    for (const { bytes } of frames) sum = crc32(bytes, sum)
    at += frames.length
  }
  return sum
}

async function carryOut(order: Order): Promise<unknown> {
  switch (order.type) {
    case 'load':
      return groupOf(order.group).load(order)
    case 'stopLoad':
      return groupOf(order.group).stop()
    case 'keepAll':
      clearInterval(retention)
      return await trimming
    case 'takeSnapshot':
      return await state.handle.takeSnapshot()
    case 'status':
      return { log: log.report, state: state.report, snapshots: node.snapshots() } satisfies StatusReport
    case 'lead':
      return groupOf(order.group).handle.transferLeadership(order.node)
    case 'replace': {
      const { handle } = groupOf(order.group)
      await new GroupMembers(handle).replace(order.old, { replica: order.by, node: order.node })
      return undefined
    }
    case 'digest':
      return await digest(groupOf(order.group), order.from)
    default:
      return order satisfies never
  }
}

process.on('message', ({ id, ...order }: Order & { readonly id: number }) => {
  carryOut(order).then(
    result => process.send?.({ id, result } satisfies Answer),
    (error: unknown) => process.send?.({ id, error: String(error) } satisfies Answer),
  )
})
process.on('disconnect', () => process.exit(0))
process.send?.({ id: 0 } satisfies Answer)
