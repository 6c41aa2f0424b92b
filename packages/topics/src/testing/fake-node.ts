/** A node of its own cluster of one: every group that it opens is led here and commits by itself. */
import type { LogStore } from '@millrace/log-store'
import type { GroupHandle, RaftNode, StateMachine } from '@millrace/raft-node'
import { FakeGroup } from './fake-group.ts'

export class FakeNode implements RaftNode {
  readonly nodeId = 1
  readonly #logStore: LogStore
  readonly #groups = new Map<number, FakeGroup>()

  constructor(logStore: LogStore) {
    this.#logStore = logStore
  }

  async open(group: number, machine: StateMachine): Promise<FakeGroup> {
    const log = this.#logStore.groups().find(l => l.group === group)
    if (log === undefined) throw new Error(`no log of group ${group}`)
    const opened = new FakeGroup(group, log, machine)
    opened.autoCommit = true
    this.#groups.set(group, opened)
    const { base, end } = log
    if (end.index > base.index) machine.apply(await log.read(base.index + 1, end.index + 1, 1e9))
    opened.term = end.term
    opened.lead()
    return opened
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

  async shutdown(): Promise<void> {
    for (const { machine } of this.#groups.values()) {
      await machine.checkpoint()
      await machine.close()
    }
  }
}
