/**
 * One beat per pair of nodes in place of the heartbeats of all groups that are quiet between them, and one answer.
 *
 * A leader and each of its followers agree, per group and by an ordinary heartbeat, that the group is quiet
 * (quietness.ts). From then on neither ticks it: the leader's node sends the others one beat per tick, whatever the
 * number of groups. Owned here: which groups are quiet towards which node, and since when that node has been silent.
 *
 * A group never stays quiet on a wrong belief. Each side lists what is no longer quiet on it in every beat or answer
 * until the other has confirmed to have heard that; a session names the process, so that what was agreed with its
 * predecessor is void; and a node that is silent for {@link QuietPeersOptions.silentTicks} wakes all its groups, well
 * before an election timeout. Beats are no messages of Raft: they carry no term, commit or lease.
 */
import type { RandomInt } from '@millrace/raft-core'
import type { QuietBeat } from './transport.ts'

export interface QuietPeersOptions {
  readonly randomInt: RandomInt
  /** Ticks without a beat, or an answer, after which the groups are woken. */
  readonly silentTicks: number
  isConnected(node: number): boolean
  send(toNode: number, beat: QuietBeat): void
  /** The group is no longer to be quiet here. */
  rouse(group: number): void
}

/** One direction of a pair. */
interface Side {
  /** Each with the last beat that went out before it was one: the answer to that does not speak of it. */
  readonly groups: Map<number, number>
  /** No longer quiet here, by the number of the first beat or answer that said so; 0: not said yet. */
  readonly left: Map<number, number>
  /** Of the process at the other end; 0: unknown. */
  session: number
  /** The newest beat, or answer, that came. */
  number: number
  /** When that was, in ticks. */
  heardTick: number
}

interface Peer {
  /** Groups that this node leads. */
  readonly led: Side
  /** Groups that it follows. */
  readonly followed: Side
  lastBeat: number
}

export class QuietPeers {
  /** Of this process. */
  readonly session: number
  readonly silentTicks: number
  readonly #options: QuietPeersOptions
  readonly #peers = new Map<number, Peer>()
  #now = 0

  constructor(options: QuietPeersOptions) {
    this.#options = options
    this.silentTicks = options.silentTicks
    this.session = 1 + options.randomInt(2 ** 31)
  }

  /** The leader of `group` is here, and offers its follower on `node` to be quiet. */
  cover(node: number, group: number): void {
    const { led, lastBeat } = this.#peer(node)
    this.#join(led, group, lastBeat)
  }

  /**
   * The leader of `group` here is no longer quiet towards its follower on `node`, or none any more.
   *
   * @returns ticks since the last answer from there
   */
  uncover(node: number, group: number): number {
    const { led } = this.#peer(node)
    leave(led, group)
    return this.#silence(led)
  }

  /**
   * The follower of `group` is here and agrees with its leader on `node`, in that session of it.
   *
   * @returns false when beats of another session are heard from there
   */
  follow(node: number, group: number, session: number): boolean {
    const { followed } = this.#peer(node)
    if (followed.session === 0) followed.session = session
    if (followed.session !== session) return false
    this.#join(followed, group, 0)
    return true
  }

  /**
   * The follower of `group` here no longer rests.
   *
   * @returns ticks since the last beat from there
   */
  unfollow(node: number, group: number): number {
    const { followed } = this.#peer(node)
    leave(followed, group)
    return this.#silence(followed)
  }

  /** One heartbeat interval is over. */
  tick(): void {
    this.#now += 1
    for (const [node, peer] of this.#peers) {
      this.#wakeIfSilent(peer.led)
      this.#wakeIfSilent(peer.followed)
      const due = peer.led.groups.size > 0 || peer.led.left.size > 0
      if (due && this.#options.isConnected(node)) this.#beat(node, peer)
    }
  }

  receive(node: number, beat: QuietBeat): void {
    const peer = this.#peer(node)
    if (beat.answer) this.#answered(peer, beat)
    else this.#beaten(node, peer.followed, beat)
  }

  #beat(node: number, peer: Peer): void {
    peer.lastBeat += 1
    const { led, lastBeat: number } = peer
    this.#options.send(node, {
      answer: false,
      session: this.session,
      number,
      heard: led.number,
      left: say(led, number),
    })
  }

  #beaten(node: number, followed: Side, beat: QuietBeat): void {
    if (!this.#hear(followed, beat)) return
    confirm(followed, beat.heard)
    for (const group of beat.left) {
      // The leader knows, and is not told: it may have made another offer by the time it hears.
      if (followed.groups.delete(group)) this.#options.rouse(group)
    }
    const left = say(followed, beat.number)
    this.#options.send(node, { answer: true, session: this.session, number: beat.number, heard: 0, left })
  }

  #answered({ led, lastBeat }: Peer, answer: QuietBeat): void {
    if (answer.number > lastBeat || !this.#hear(led, answer)) return
    confirm(led, answer.number)
    for (const group of answer.left) {
      const since = led.groups.get(group)
      if (since !== undefined && answer.number > since) this.#options.rouse(group)
    }
  }

  /** @returns false for what came late or twice */
  #hear(side: Side, beat: QuietBeat): boolean {
    if (beat.session !== side.session) {
      // That process knows of nothing that was agreed with the one before.
      side.left.clear()
      if (side.session !== 0) this.#wakeAll(side)
      side.session = beat.session
      side.number = 0
    }
    if (beat.number <= side.number) return false
    side.number = beat.number
    side.heardTick = this.#now
    return true
  }

  #wakeIfSilent(side: Side): void {
    if (side.groups.size > 0 && this.#silence(side) > this.silentTicks) this.#wakeAll(side)
  }

  #wakeAll(side: Side): void {
    for (const group of [...side.groups.keys()]) this.#options.rouse(group)
  }

  #silence(side: Side): number {
    return this.#now - side.heardTick
  }

  #join(side: Side, group: number, since: number): void {
    // Nobody beats for no group: silence counts from the first one on.
    if (side.groups.size === 0) side.heardTick = this.#now
    side.groups.set(group, since)
    side.left.delete(group)
  }

  #peer(node: number): Peer {
    let peer = this.#peers.get(node)
    if (peer === undefined) {
      peer = { led: newSide(), followed: newSide(), lastBeat: 0 }
      this.#peers.set(node, peer)
    }
    return peer
  }
}

function newSide(): Side {
  return { groups: new Map(), left: new Map(), session: 0, number: 0, heardTick: 0 }
}

function leave(side: Side, group: number): void {
  if (side.groups.delete(group)) side.left.set(group, 0)
}

/** What is to be listed in the beat or answer of that number. */
function say(side: Side, number: number): number[] {
  for (const [group, first] of side.left) if (first === 0) side.left.set(group, number)
  return [...side.left.keys()]
}

/** The other side has heard the beat or answer of that number. */
function confirm(side: Side, number: number): void {
  for (const [group, first] of side.left) if (first !== 0 && first <= number) side.left.delete(group)
}
