/** Who leads each group in which term, from what nodes say in turn; a node may say what another knows better already. */

/** What a node says about one of its replicas. */
export interface SeenReplica {
  /** Empty for the catalogue. */
  readonly topic: string
  readonly partition: number
  readonly term: bigint
  /** 0: it knows of none in this term. */
  readonly leaderNode: number
}

export interface Leadership {
  readonly term: bigint
  readonly leader: number
}

export interface LeaderChange {
  readonly group: string
  readonly from: Leadership
  readonly to: Leadership
}

export class Leaderships {
  readonly #newest = new Map<string, Leadership>()

  /** @returns groups that have a leader in a newer term than before: another one, or the same elected anew */
  see(replicas: readonly SeenReplica[]): LeaderChange[] {
    const changes: LeaderChange[] = []
    for (const { topic, partition, term, leaderNode } of replicas) {
      const group = topic === '' ? 'the catalogue' : `${topic}/${partition}`
      const from = this.#newest.get(group)
      if (leaderNode === 0 || (from !== undefined && term <= from.term)) continue
      const to = { term, leader: leaderNode }
      this.#newest.set(group, to)
      if (from !== undefined) changes.push({ group, from, to })
    }
    return changes
  }

  /** `the catalogue: node 1 in term 2, soak/0: node 3 in term 4` */
  describe(): string {
    return [...this.#newest].map(([group, leadership]) => `${group}: ${describeLeadership(leadership)}`).join(', ')
  }

  /** 0: none is known. */
  leaderOf(group: string): number {
    return this.#newest.get(group)?.leader ?? 0
  }
}

export function describeLeadership({ term, leader }: Leadership): string {
  return `node ${leader} in term ${term}`
}
