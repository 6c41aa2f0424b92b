/**
 * What waits for the next turn of one replica: messages of peers, responses that a finished write released, answers of
 * fetches and other inputs, ticks. Messages that are not for this replica, or not from who they say, never get in.
 */
import { type AppendRequest, type Input, type Message, NONE, type ReplicaId } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import type { EntryPayload } from './entry-frame.ts'
import type { Responses } from './group-storage.ts'
import type { GroupCredit } from './inbound-credit.ts'
import type { ReplicaPlaces } from './replica-places.ts'

/** Messages of peers that one group handles in one turn; the others wait for the next. */
const MESSAGES_PER_TURN_MAX = 512

/** Local to a replica, or not exchanged by this version: refused by name when a peer sends them. */
const REFUSED_TYPES: ReadonlySet<Message['type']> = new Set([
  'storageAppended',
  'storageApplied',
  'snapshot',
  'propose',
  'transferLeader',
])

export interface GroupInboxOptions {
  readonly replica: ReplicaId
  readonly places: ReplicaPlaces
  readonly credit: GroupCredit
  /** An append was not taken, because its entries are more than the group has credit for. */
  readonly busy: (append: AppendRequest<Frame>) => void
  /** Something arrived. */
  readonly wake: () => void
}

export class GroupInbox {
  readonly #options: GroupInboxOptions
  #messages: Message<Frame>[] = []
  #inputs: Input<EntryPayload>[] = []
  #released: Responses[] = []
  #ticks = 0
  #closed = false

  constructor(options: GroupInboxOptions) {
    this.#options = options
  }

  /** @returns why the message was not taken, or undefined where it was */
  receive(fromNode: number, message: Message<Frame>): string | undefined {
    const { replica, places, credit, busy } = this.#options
    if (REFUSED_TYPES.has(message.type)) return `messages of type ${message.type} are not accepted by this version`
    if (message.to !== replica && message.to !== NONE) return `it is for replica ${message.to}, here is ${replica}`
    if (!places.admits(message.from, fromNode)) {
      return `replica ${message.from} is on node ${places.nodeOf(message.from)}`
    }
    if (message.type === 'append' && !this.#closed && !credit.take(entryBytes(message))) {
      busy(message)
      return undefined
    }
    // An append does not say for which replica of the node it is.
    this.#add(this.#messages, message.to === NONE ? { ...message, to: replica } : message)
    return undefined
  }

  input(input: Input<EntryPayload>): void {
    this.#add(this.#inputs, input)
  }

  /** Responses of a task whose write is durable. */
  release(responses: Responses): void {
    this.#add(this.#released, responses)
  }

  tick(): void {
    this.#ticks += 1
    if (!this.#closed) this.#options.wake()
  }

  takeReleased(): readonly Responses[] {
    const taken = this.#released
    if (taken.length > 0) this.#released = []
    return taken
  }

  takeInputs(): readonly Input<EntryPayload>[] {
    const taken = this.#inputs
    if (taken.length > 0) this.#inputs = []
    return taken
  }

  takeTicks(): number {
    const taken = this.#ticks
    this.#ticks = 0
    return taken
  }

  /** The oldest messages, a bounded number; the rest stays for another turn. */
  takeMessages(): readonly Message<Frame>[] {
    const taken = this.#takeMessages()
    for (const message of taken) if (message.type === 'append') this.#options.credit.giveBack(entryBytes(message))
    return taken
  }

  #takeMessages(): readonly Message<Frame>[] {
    if (this.#messages.length <= MESSAGES_PER_TURN_MAX) {
      const all = this.#messages
      if (all.length > 0) this.#messages = []
      return all
    }
    const taken = this.#messages.splice(0, MESSAGES_PER_TURN_MAX)
    this.#options.wake()
    return taken
  }

  /** Drops everything, and whatever is still to come. */
  close(): void {
    this.#closed = true
    for (const message of this.#messages) {
      if (message.type === 'append') this.#options.credit.giveBack(entryBytes(message))
    }
    this.#messages = []
    this.#inputs = []
    this.#released = []
  }

  #add<T>(queue: T[], item: T): void {
    if (this.#closed) return
    queue.push(item)
    this.#options.wake()
  }
}

function entryBytes(append: AppendRequest<Frame>): number {
  let bytes = 0
  for (const entry of append.entries) bytes += entry.size
  return bytes
}
