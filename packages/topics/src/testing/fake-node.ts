/** A node of its own cluster of one: every group that it opens is led here and commits by itself. */
import type { LogStore } from '@millrace/log-store'
import type { GroupHandle, RaftNode, StateMachine } from '@millrace/raft-node'
import type { Frame } from '@millrace/record'
import { FakeGroup } from './fake-group.ts'

async function replay(machine: StateMachine, frames: readonly Frame[]): Promise<void> {
  for (const frame of frames) {
    await new Promise(resolve => setImmediate(resolve))
    machine.apply([frame])
  }
}

export class FakeNode implements RaftNode {
  readonly nodeId = 1
  readonly #logStore: LogStore
  readonly #replaySlowly: boolean
  readonly #groups = new Map<number, FakeGroup>()

  /** @param replaySlowly groups are open before their log is applied, which then takes a turn per entry */
  constructor(logStore: LogStore, replaySlowly = false) {
    this.#logStore = logStore
    this.#replaySlowly = replaySlowly
  }

  async open(group: number, machine: StateMachine): Promise<FakeGroup> {
    const log = this.#logStore.groups().find(l => l.group === group)
    if (log === undefined) throw new Error(`no log of group ${group}`)
    const opened = new FakeGroup(group, log, machine)
    opened.autoCommit = true
    this.#groups.set(group, opened)
    const { base, end } = log
    const frames = end.index > base.index ? await log.read(base.index + 1, end.index + 1, 1e9) : []
    opened.committed.push(...frames)
    opened.term = end.term
    if (this.#replaySlowly) {
      void replay(machine, frames).then(() => opened.lead())
    } else {
      machine.apply(frames)
      opened.lead()
    }
    return opened
  }

  bootstrap(): never {
    throw new Error('a fake node founds nothing')
  }

  group(group: number): FakeGroup | undefined {
    return this.#groups.get(group)
  }

  groups(): readonly GroupHandle[] {
    return [...this.#groups.values()]
  }

  async closeGroup(group: number): Promise<void> {
    await this.#groups.get(group)?.machine.close()
    this.#groups.delete(group)
  }

  isConnected(): boolean {
    return true
  }

  repairs(): ReturnType<RaftNode['repairs']> {
    return {
      framesRepaired: 0,
      bytesRepaired: 0,
      framesServed: 0,
      statesFetched: 0,
      stateBytesFetched: 0,
      statesServed: 0,
      running: 0,
    }
  }

  snapshots(): ReturnType<RaftNode['snapshots']> {
    return { bytesSent: 0, bytesReceived: 0, sent: 0, installed: 0, taken: 0, sending: 0, waiting: 0, transfers: [] }
  }

  async shutdown(): Promise<void> {
    for (const { machine } of this.#groups.values()) {
      await machine.checkpoint()
      await machine.close()
    }
  }
}
