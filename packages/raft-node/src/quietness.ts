/**
 * One replica's part in its group being quiet: nothing to replicate, nothing to read, nobody to elect. Then the replicas
 * neither tick nor exchange heartbeats; beats between their nodes (quiet-peers.ts) stand for both.
 *
 * The leader begins. When nothing but heartbeats has happened for a while and every follower holds, and knows as
 * committed, all there is, it marks its heartbeats as an offer. A follower that sees the same rests from then on and says so
 * in its answer; once all that are connected have, and make a quorum with the leader, it rests too. Whatever else happens
 * ends that first, and is handled as if heartbeats had come all along: to the leader all that rest are active, until their
 * nodes no longer answer; a follower gets the ticks since the last beat. So elections, check-quorum and stickiness see
 * what they would have seen. Read indexes take rounds of real heartbeats, which wake the group; a group whose leader
 * holds leases never rests.
 */
import { type GroupStatus, type Heartbeat, type Input, type Message, NONE, type ReplicaId } from '@millrace/raft-core'
import type { QuietPeers } from './quiet-peers.ts'

/** Ticks without an event before the leader looks whether it can offer. */
const CALM_TICKS = 2

export interface QuietSubject {
  readonly group: number
  readonly replica: ReplicaId
  status(): GroupStatus
  /** Into the core, past this. */
  step(input: Input<never>): void
  nodeOf(replica: ReplicaId): number
  isConnected(node: number): boolean
  /** Nobody waits for something that only ticks would end. */
  mayRest(): boolean
  /** It rests from now on, or no longer: it is to be ticked again. */
  rests(resting: boolean): void
}

export class Quietness {
  readonly #subject: QuietSubject
  readonly #peers: QuietPeers | undefined
  /** Sessions that messages in the inbox are marked with. */
  readonly #marks = new WeakMap<Message, number>()
  #state: 'awake' | 'offering' | 'leading' | 'following' = 'awake'
  #calmTicks = 0
  /** As a leader: where the offer went, and who has agreed. */
  #offered: ReplicaId[] = []
  readonly #agreed = new Set<ReplicaId>()
  /** As a follower: who made the offer. */
  #leaderNode = 0

  /** `peers`: undefined where timing leaves no room for quiet groups. */
  constructor(subject: QuietSubject, peers: QuietPeers | undefined) {
    this.#subject = subject
    this.#peers = peers
  }

  /** The replica takes no ticks. */
  get rests(): boolean {
    return this.#state === 'leading' || this.#state === 'following'
  }

  /** Whether it matters to this replica that messages to that node are lost. Not to a quiet one that does without it. */
  concerns(node: number): boolean {
    if (this.#state !== 'leading' && this.#state !== 'offering') return true
    return this.#offered.some(peer => this.#subject.nodeOf(peer) === node)
  }

  /** This message, which is not stepped yet, came with a mark. */
  marked(message: Message, session: number): void {
    this.#marks.set(message, session)
  }

  /** The mark with which a message leaves. */
  markFor(message: Message): number | undefined {
    if (this.#state === 'awake' || this.#state === 'leading') return undefined
    const type = this.#state === 'offering' ? 'heartbeat' : 'heartbeatResponse'
    return message.type === type && message.context === 0 ? this.#peers?.session : undefined
  }

  /** A message is about to be stepped. */
  hears(message: Message): void {
    const isMarked = this.#marks.has(message)
    if (message.type === 'heartbeat' && isMarked) {
      if (this.#state !== 'following') this.disturb()
    } else if (message.type !== 'heartbeatResponse' || message.context !== 0 || message.lostTail === true) {
      this.disturb()
    } else if (!isMarked) {
      this.#agreed.delete(message.from)
      if (this.#state === 'leading') this.disturb()
    }
  }

  /** It was stepped. */
  heard(message: Message): void {
    const session = this.#marks.get(message)
    if (session === undefined) return
    if (message.type === 'heartbeat') this.#consider(message, session)
    else if (message.type === 'heartbeatResponse' && this.#state === 'offering') {
      this.#agreed.add(message.from)
      this.#restIfAgreed()
    }
  }

  /** Ticks were stepped. */
  ticked(): void {
    this.#calmTicks += 1
    if (this.#state !== 'awake' || this.#calmTicks % CALM_TICKS !== 0) return
    const status = this.#subject.status()
    if (status.role === 'leader' && this.#subject.mayRest() && isSettled(status)) this.#offer(status)
  }

  /** Something else happens to the group. To be called before that is stepped. */
  disturb(): void {
    this.#calmTicks = 0
    const state = this.#state
    this.#state = 'awake'
    if (state === 'awake') return
    if (state === 'following') this.#stopFollowing()
    else this.#stopLeading(state === 'leading')
  }

  /** The replica takes no further part; its core is not touched any more. */
  end(): void {
    const state = this.#state
    this.#state = 'awake'
    if (state === 'following') this.#peers?.unfollow(this.#leaderNode, this.#subject.group)
    else if (state !== 'awake') this.#uncover()
  }

  #offer({ peers, id, lastIndex }: GroupStatus): void {
    if (this.#peers === undefined) return
    const { group } = this.#subject
    const others = peers.filter(peer => peer.id !== id)
    const connected = others.filter(peer => this.#subject.isConnected(this.#subject.nodeOf(peer.id)))
    const upToDate = connected.every(peer => peer.match === lastIndex && peer.state === 'replicate')
    // Of the others, check-quorum has to have noticed that they are away.
    const ready = upToDate && others.every(peer => connected.includes(peer) || !peer.recentActive)
    if (!ready) return
    this.#state = 'offering'
    this.#agreed.clear()
    this.#offered = connected.map(peer => peer.id)
    for (const peer of this.#offered) this.#peers.cover(this.#subject.nodeOf(peer), group)
    this.#restIfAgreed()
  }

  #restIfAgreed(): void {
    if (!this.#offered.every(peer => this.#agreed.has(peer))) return
    const { id, configuration } = this.#subject.status()
    const { voters } = configuration
    const agreed = voters.filter(voter => voter === id || this.#agreed.has(voter))
    if (!agreed.includes(id) || agreed.length * 2 <= voters.length) return
    this.#state = 'leading'
    this.#vouch()
    this.#subject.rests(true)
  }

  /** Says to the core what is true: all of them follow, in this term. So they are active for as long as it rests. */
  #vouch(): void {
    const { replica } = this.#subject
    const { term } = this.#subject.status()
    for (const from of this.#offered) {
      const message = { type: 'heartbeatResponse', from, to: replica, term, context: 0 } as const
      this.#subject.step({ type: 'message', message })
    }
  }

  #stopLeading(rested: boolean): void {
    const silences = this.#uncover()
    if (!rested) return
    const silence = Math.max(0, ...silences)
    // Those who answered lately count as active since the rest began; of the others check-quorum is to find out in time.
    if (silence > this.#peers!.silentTicks) this.#tick(silence)
    this.#subject.rests(false)
  }

  /** @returns ticks since the node of each peer that the offer went to has answered */
  #uncover(): number[] {
    return this.#offered.map(peer => this.#peers!.uncover(this.#subject.nodeOf(peer), this.#subject.group))
  }

  /** Agrees to an offer, if there is nothing that speaks against it. */
  #consider(message: Heartbeat, session: number): void {
    const status = this.#subject.status()
    const { role, leader, term, lastIndex } = status
    const follows = role === 'follower' && leader === message.from && term === message.term
    const saysAll = message.commit === lastIndex && message.context === 0
    const agrees = follows && saysAll && isSettled(status) && this.#subject.mayRest()
    const node = this.#subject.nodeOf(message.from)
    if (!agrees || this.#peers?.follow(node, this.#subject.group, session) !== true) {
      this.disturb()
      return
    }
    this.#state = 'following'
    this.#leaderNode = node
    this.#subject.rests(true)
  }

  #stopFollowing(): void {
    this.#tick(this.#peers!.unfollow(this.#leaderNode, this.#subject.group))
    this.#subject.rests(false)
  }

  #tick(ticks: number): void {
    for (let i = 0; i < ticks; i++) this.#subject.step({ type: 'tick' })
  }
}

/** Everything in the log is durable, committed and applied here, and no change of any kind is under way. */
function isSettled(status: GroupStatus): boolean {
  const { lastIndex, commit, applied, durableIndex, configuration, uncommittedBytes, pendingReads } = status
  const inLog = commit === lastIndex && applied === lastIndex && durableIndex === lastIndex
  const changing = configuration.votersOutgoing.length > 0 || status.leadTransferee !== NONE
  return inLog && !changing && uncommittedBytes === 0 && pendingReads === 0 && status.uncertainUntil === undefined
}
