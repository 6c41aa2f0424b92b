/**
 * Sends the state of a replica to another one of its group that has lost its own: the snapshot of its applied index, as it
 * is now. Outside Raft: any replica does it, whoever leads.
 *
 * Never sends a state whose last entry it cannot name by its own log, or whose configuration it does not know for certain.
 */
import type { GroupLog, SnapshotHead, SnapshotReader, SnapshotStore } from '@millrace/log-store'
import { MemorySnapshotStore } from '@millrace/log-store/memory'
import type { LogIndex, ReplicaId, Term } from '@millrace/raft-core'
import type { MachineSnapshots } from './machine-snapshots.ts'
import type { NodeEvent } from './node.ts'
import { ReportOnce } from './report-once.ts'
import type { SnapshotOffer } from './snapshot-calls.ts'
import { snapshotId, writeSnapshot } from './snapshot-content.ts'
import type { SendHandle, SnapshotSends } from './snapshot-sends.ts'
import type { StateAnswer, StateRequest } from './state-calls.ts'

export interface StateServerOptions {
  readonly log: GroupLog
  readonly machine: MachineSnapshots | undefined
  readonly sends: Pick<SnapshotSends, 'add'>
  readonly term: () => Term
  readonly applied: () => LogIndex
  /** There is no state to be sent, or it is being replaced. */
  readonly restoring: () => boolean
  readonly admits: (replica: ReplicaId, fromNode: number) => boolean
  /** Where the log stood at an applied index; undefined where this replica cannot know yet. */
  readonly headAt: (index: LogIndex) => Promise<SnapshotHead | undefined>
  /** Of kind `applied`. */
  readonly take: () => Promise<unknown>
  readonly sent: () => void
  readonly report: (event: NodeEvent) => void
}

export class StateServer {
  readonly #options: StateServerOptions
  readonly #once: ReportOnce
  /** By the replica that gets it. */
  readonly #sends = new Map<ReplicaId, SendHandle>()
  #closed = false

  constructor(options: StateServerOptions) {
    this.#options = options
    this.#once = new ReportOnce(options.report)
  }

  /** @see TransportHandler.stateAsked */
  asked(fromNode: number, { from, to, least }: StateRequest): StateAnswer {
    const { log, machine, restoring, applied, admits } = this.#options
    const isHere = to === log.recovered.replicaId && !this.#closed && admits(from, fromNode)
    if (!isHere || machine === undefined || restoring()) return 'absent'
    if (applied() < least) return 'behind'
    if (!this.#sends.has(from)) this.#send(machine, fromNode, from, least)
    return 'coming'
  }

  close(): void {
    this.#closed = true
    for (const send of this.#sends.values()) send.abort('the replica takes no further part')
  }

  #send(machine: MachineSnapshots, toNode: number, to: ReplicaId, least: LogIndex): void {
    const { log, sends, term, sent, report } = this.#options
    const { group } = log
    const send = sends.add({
      toNode,
      open: async () => {
        const reader = machine.kind === 'base' ? await this.#viewed(machine) : await this.#taken(machine.store, least)
        const { info } = reader
        const from = log.recovered.replicaId
        const offer: SnapshotOffer = {
          ...{ group, from, to, term: term(), snapshotId: snapshotId(info), info, stateOnly: true },
        }
        return { offer, reader }
      },
      ended: end => {
        if (this.#sends.get(to) === send) this.#sends.delete(to)
        if (end.status === 'failed') {
          const message = `the state for replica ${to} was not sent: ${end.reason}`
          this.#once.report({ level: 'warn', group, message })
          return
        }
        sent()
        report({ level: 'info', group, message: `sent the state to replica ${to} on node ${toNode}` })
      },
    })
    this.#sends.set(to, send)
  }

  /** The state as it is. In memory, as the state itself is; on the disk it would be in the place of those of the log's base. */
  async #viewed({ view }: MachineSnapshots): Promise<SnapshotReader> {
    const { restoring, headAt, log } = this.#options
    if (restoring()) throw new Error('the state is being replaced')
    const state = view()
    try {
      const head = await headAt(state.applied.index)
      if (head === undefined) throw new Error(`the configuration at index ${state.applied.index} is not known here yet`)
      const store = new MemorySnapshotStore(1)
      await writeSnapshot(store, head, state.content())
      const reader = await store.openNewest()
      if (reader !== null) return reader
      throw new Error(`the state of group ${log.group} cannot be read`)
    } finally {
      state.release()
    }
  }

  async #taken(store: SnapshotStore, least: LogIndex): Promise<SnapshotReader> {
    if ((store.list()[0]?.index ?? 0) < least) await this.#options.take()
    const reader = await store.openNewest()
    if (reader !== null && reader.info.index >= least) return reader
    await reader?.close()
    throw new Error(`the newest snapshot of the group does not hold entry ${least}`)
  }
}
