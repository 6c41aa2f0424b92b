/** Drives a cluster through a random schedule of everything that can happen to it, from one seed. */
import type { ConfigChangeKind } from '../configuration.ts'
import type { ReplicaId } from '../entry.ts'
import type { Message } from '../message.ts'
import { Oracle } from './oracle.ts'
import { TestCluster } from './test-cluster.ts'
import type { TestReplica } from './test-replica.ts'

/** Uniform integers from a 32-bit seed (mulberry32): small, and the same everywhere. */
export function seededRandom(seed: number): (bound: number) => number {
  let state = seed >>> 0
  return bound => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
}

const VOTERS = [1, 2, 3]
const LEARNER = 4
const BLANK = 5
const EVERYBODY: readonly ReplicaId[] = [...VOTERS, LEARNER, BLANK]

export class RandomSchedule {
  readonly cluster: TestCluster
  readonly oracle: Oracle
  readonly #random: (bound: number) => number
  /** How readily messages get lost or doubled: per mille. */
  readonly #faults: number
  #contexts = 0
  #proposals = 0

  constructor(seed: number) {
    this.#random = seededRandom(seed)
    this.#faults = this.#random(200)
    this.cluster = new TestCluster(VOTERS, {
      learners: [LEARNER],
      blank: [BLANK],
      randomInt: this.#random,
      config: {
        preVote: this.#random(4) > 0,
        checkQuorum: this.#random(4) > 0,
        cacheBytesMax: this.#random(60),
        messageBytesMax: 1 + this.#random(60),
        inflightMessagesMax: 1 + this.#random(4),
        inflightBytesMax: this.#random(3) === 0 ? 0 : 1 + this.#random(80),
        applyingBytesMax: 1 + this.#random(60),
        uncommittedBytesMax: 200,
        autoPromoteLearners: this.#random(4) === 0,
        stepDownOnRemoval: this.#random(2) === 0,
        forwardProposals: this.#random(2) === 0,
      },
    })
    this.oracle = new Oracle(this.cluster)
  }

  /** `steps` random events, each followed by all checks. */
  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      this.#event(this.cluster.at(EVERYBODY[this.#random(EVERYBODY.length)]!))
      this.oracle.check()
    }
  }

  #event(replica: TestReplica): void {
    const dice = this.#random(1_000)
    if (dice < 300) this.#network()
    else if (dice < 700) this.#storage(replica)
    else if (dice < 780) this.#rush()
    else if (dice < 850) replica.step({ type: 'tick' })
    else if (dice < 900) this.#propose(replica)
    else if (dice < 940) this.#read(replica)
    else if (dice < 970) this.#disturb(replica)
    else if (dice < 985) this.#changeMembers(replica)
    else if (dice < 993) this.#compact(replica)
    else replica.restart()
  }

  #network(): void {
    const { network } = this.cluster
    // Mostly the oldest messages, sometimes any.
    for (let i = this.#random(6); i >= 0; i--) {
      const at = this.#random(8) === 0 ? this.#random(Math.max(1, network.length)) : 0
      const [message] = network.splice(at, 1)
      if (message !== undefined) this.#deliver(message)
    }
  }

  #deliver(message: Message<string>): void {
    const { network } = this.cluster
    if (this.#random(1_000) < this.#faults) {
      if (this.#random(2) === 0) network.push(message, message)
      return
    }
    this.cluster.replicas.get(message.to)?.receive(message)
  }

  /** A few quick rounds among those whose storage works and who are connected. */
  #rush(): void {
    const { cluster } = this
    for (const id of EVERYBODY) if (this.#random(3) === 0) cluster.stalled.add(id)
    const cut = EVERYBODY.filter(() => this.#random(5) === 0)
    cluster.isolate(...cut)
    for (let i = this.#random(6); i > 0; i--) {
      cluster.work()
      if (this.#random(3) > 0) cluster.deliver()
      this.oracle.check()
    }
    cluster.stalled.clear()
    cluster.heal()
  }

  #storage(replica: TestReplica): void {
    const sent: Message<string>[] = replica.drain()
    for (let i = this.#random(3); i > 0; i--) sent.push(...replica.completeAppend())
    for (let i = this.#random(3); i > 0; i--) replica.completeApply()
    if (this.#random(2) === 0) replica.completeFetch()
    this.cluster.network.push(...sent)
  }

  #propose(replica: TestReplica): void {
    // Mostly where it is accepted.
    const target = this.#random(4) === 0 ? replica : (this.cluster.newestLeader() ?? replica)
    this.#proposals++
    this.cluster.propose(target.id, `value${this.#proposals}`)
  }

  #read(replica: TestReplica): void {
    this.#contexts++
    this.oracle.readStarted(this.#contexts)
    replica.step({ type: 'readIndex', context: this.#contexts })
  }

  #disturb(replica: TestReplica): void {
    const peer = EVERYBODY[this.#random(EVERYBODY.length)]!
    switch (this.#random(5)) {
      case 0:
        replica.step({ type: 'campaign' })
        break
      case 1:
        replica.step({ type: 'transferLeader', target: peer })
        break
      case 2:
        replica.step({ type: 'forgetLeader' })
        break
      case 3:
        replica.step({ type: 'unreachable', peer })
        break
      default:
        replica.step({ type: 'snapshotStatus', peer, status: this.#random(2) === 0 ? 'finished' : 'failed' })
    }
  }

  #changeMembers(replica: TestReplica): void {
    const kinds: readonly ConfigChangeKind[] = ['addVoter', 'addLearner', 'remove', 'addVoter']
    const steps = EVERYBODY.filter(() => this.#random(3) === 0).map(id => ({
      kind: kinds[this.#random(kinds.length)]!,
      id,
    }))
    const transition = (['auto', 'implicit', 'explicit'] as const)[this.#random(3)]!
    replica.step({ type: 'proposeConfigChange', change: { steps, transition } })
  }

  #compact(replica: TestReplica): void {
    const from = replica.disk.base.index
    const most = Math.min(replica.appliedIndex, replica.group.status().applied) - from
    if (most > 0 && replica.disk.base.index === replica.group.status().baseIndex) {
      replica.compact(from + 1 + this.#random(most))
    }
  }

  /** No more faults: the cluster must elect a leader, commit, and bring every member up to date. */
  recover(): void {
    this.cluster.settle()
    for (let i = 0; i < 40; i++) {
      this.#reportLostSnapshots()
      this.cluster.tick(10)
      this.oracle.check()
      if (this.#converged()) return
    }
    throw new Error('the healed cluster does not converge')
  }

  /** What the transport does in the end for every snapshot whose delivery it cannot confirm. */
  #reportLostSnapshots(): void {
    for (const replica of this.cluster.replicas.values()) {
      for (const peer of replica.group.status().peers) {
        if (peer.state === 'snapshot') replica.step({ type: 'snapshotStatus', peer: peer.id, status: 'failed' })
      }
    }
  }

  #converged(): boolean {
    const leader = this.cluster.newestLeader()
    if (leader === undefined || leader.group.status().configuration.votersOutgoing.length > 0) {
      this.#leaveJoint()
      return false
    }
    this.#proposals++
    this.cluster.propose(leader.id, `value${this.#proposals}`)
    this.cluster.settle()
    this.oracle.check()
    const { lastIndex, commit, configuration, applied } = leader.group.status()
    const members = [...configuration.voters, ...configuration.learners]
    return (
      commit === lastIndex &&
      applied === lastIndex &&
      members.every(id => this.cluster.at(id).group.status().applied === applied)
    )
  }

  #leaveJoint(): void {
    for (const replica of this.cluster.replicas.values()) {
      if (replica.group.status().role !== 'leader') continue
      replica.step({ type: 'proposeConfigChange', change: { steps: [], transition: 'auto' } })
    }
  }
}
