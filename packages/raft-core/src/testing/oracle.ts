/**
 * Watches a whole cluster and knows what no replica knows: everything that was ever committed. Raft paper, figure 3:
 * election safety, log matching, leader completeness, state machine safety; and linearizable reads.
 */
import type { LogIndex, ReplicaId, Term } from '../entry.ts'
import type { TestCluster } from './test-cluster.ts'

export class Oracle {
  readonly #cluster: TestCluster
  readonly #leaders: Map<Term, ReplicaId> = new Map()
  /** Term and payload of every index that some replica has seen committed. */
  readonly #committed: Map<LogIndex, string> = new Map()
  #commit: LogIndex = 0
  /** Payloads in the order of the longest state machine. */
  #applied: string[] = []
  readonly #reads: Map<number, LogIndex> = new Map()

  constructor(cluster: TestCluster) {
    this.#cluster = cluster
  }

  /** The highest index known to be committed by anybody. */
  get commit(): LogIndex {
    return this.#commit
  }

  /** A read starts now: its index must cover everything committed so far. */
  readStarted(context: number): void {
    this.#reads.set(context, this.#commit)
  }

  check(): void {
    for (const replica of this.#cluster.replicas.values()) {
      const { id, role, term, commit, durableIndex, baseIndex } = replica.group.status()
      if (role === 'leader') {
        const other = this.#leaders.get(term)
        if (other !== undefined && other !== id) throw new Error(`term ${term} has leaders ${other} and ${id}`)
        this.#leaders.set(term, id)
      }
      // Until a snapshot or a write is finished the disk holds what it replaces.
      const known = replica.disk.base.index === baseIndex ? Math.min(commit, durableIndex) : 0
      for (const entry of replica.disk.entries) {
        if (entry.index > known) break
        this.#sawCommitted(id, entry.index, `${entry.term}:${entry.payload}`)
      }
      this.#checkState(id, replica.applied)
      for (const read of replica.reads.splice(0)) this.#checkRead(read.context, read.index, read.aborted === true)
    }
  }

  #sawCommitted(id: ReplicaId, index: LogIndex, entry: string): void {
    const known = this.#committed.get(index)
    if (known === undefined) this.#committed.set(index, entry)
    else if (known !== entry) throw new Error(`replica ${id} commits ${entry} at ${index}, another ${known}`)
    this.#commit = Math.max(this.#commit, index)
  }

  #checkState(id: ReplicaId, applied: readonly string[]): void {
    const common = Math.min(applied.length, this.#applied.length)
    for (let i = 0; i < common; i++) {
      if (applied[i] !== this.#applied[i]) {
        throw new Error(`replica ${id} applied ${applied[i]} as number ${i}, another ${this.#applied[i]}`)
      }
    }
    if (applied.length > common) this.#applied = [...applied]
  }

  #checkRead(context: number, index: LogIndex, aborted: boolean): void {
    const least = this.#reads.get(context)
    if (least === undefined) throw new Error(`nobody asked for read ${context}`)
    if (!aborted && index < least) throw new Error(`read ${context} answers ${index}, ${least} was committed before it`)
  }
}
