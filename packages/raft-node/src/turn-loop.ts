/**
 * The turns of a node: every group that something happened to takes its part, then each peer gets one send, then
 * committed entries are applied.
 *
 * A turn runs to its end and is bounded; what does not fit joins the next one. Appends leave before the applies of the
 * same turn and while the writes of the same turn are under way.
 */
import type { GroupReplica } from './group-replica.ts'
import type { Clock } from './node.ts'
import type { Outbox } from './outbox.ts'
import type { Transport } from './transport.ts'

/** Bytes of entries applied in one turn; the groups that are left over go first in the next. */
const APPLY_BYTES_PER_TURN_MAX = 16 * 1024 * 1024

/**
 * How long news of a commit waits for an append that carries it. Nothing that a client waits for depends on it, except
 * reads from followers. Without it every append that is alone costs each follower two messages and two answers.
 */
const COMMIT_NEWS_DELAY_MS = 2

export class TurnLoop {
  readonly #clock: Clock
  readonly #outbox: Outbox
  readonly #transport: Transport
  #awake: GroupReplica[] = []
  #scheduled = false
  #stopped = false
  #commitNews: { cancel(): void } | undefined

  constructor(clock: Clock, outbox: Outbox, transport: Transport) {
    this.#clock = clock
    this.#outbox = outbox
    this.#transport = transport
  }

  /** Gives a group a part in the next turn. */
  wake(replica: GroupReplica): void {
    if (replica.awake || this.#stopped) return
    replica.awake = true
    this.#awake.push(replica)
    if (this.#scheduled) return
    this.#scheduled = true
    this.#clock.nextTurn(() => this.#turn())
  }

  stop(): void {
    this.#stopped = true
    this.#awake = []
    this.#commitNews?.cancel()
    this.#commitNews = undefined
  }

  #scheduleCommitNews(): void {
    if (this.#stopped) return
    this.#commitNews ??= this.#clock.setTimer(COMMIT_NEWS_DELAY_MS, () => {
      this.#commitNews = undefined
      this.#outbox.flushAll(this.#transport)
    })
  }

  #turn(): void {
    this.#scheduled = false
    const replicas = this.#awake
    this.#awake = []
    for (const replica of replicas) {
      replica.awake = false
      replica.turn()
    }
    if (this.#outbox.flush(this.#transport)) this.#scheduleCommitNews()
    let bytes = 0
    for (const replica of replicas) {
      if (bytes < APPLY_BYTES_PER_TURN_MAX) bytes += replica.apply()
      else if (replica.applier.hasWork) this.wake(replica)
    }
  }
}
