/**
 * How the client is doing, for people and for health checks: one value, replayed to whoever subscribes. Parts of the
 * client report troubles under a key of their own and take them back; the worst one is the status. Nothing here
 * decides anything.
 */
import { BehaviorSubject, type Observable } from 'rxjs'

export type ClientStatus =
  /** Nothing was asked of the cluster yet. */
  | { readonly state: 'idle' }
  | { readonly state: 'connected' }
  /** Work waits for a leader or a connection; tries go on. */
  | { readonly state: 'reconnecting'; readonly what: string; readonly reason: string }
  /** A window of deliveries is full and nothing is settled: something downstream holds or drops them. */
  | {
      readonly state: 'stalled'
      readonly what: string
      readonly unsettled: number
      readonly unsettledBytes: number
      readonly windowCount: number
      readonly windowBytes: number
      readonly stalledMs: number
      readonly reason: string
    }
  | { readonly state: 'closed' }

export type Trouble = Extract<ClientStatus, { state: 'reconnecting' | 'stalled' }>

export class StatusBoard {
  readonly #subject = new BehaviorSubject<ClientStatus>({ state: 'idle' })
  readonly #troubles = new Map<object, Trouble>()
  readonly status$: Observable<ClientStatus> = this.#subject.asObservable()

  get current(): ClientStatus {
    return this.#subject.value
  }

  /** Sets or replaces the trouble of `source`. */
  report(source: object, trouble: Trouble): void {
    this.#troubles.set(source, trouble)
    this.#publish()
  }

  /** `source` is well (and proves that the cluster answers). */
  clear(source: object): void {
    if (!this.#troubles.delete(source) && this.current.state !== 'idle') return
    this.#publish()
  }

  /** `source` is no more: its trouble is nobody's, and says nothing about the cluster. */
  remove(source: object): void {
    if (this.#troubles.delete(source)) this.#publish()
  }

  close(): void {
    this.#subject.next({ state: 'closed' })
    this.#subject.complete()
  }

  /** A stall is the client's own doing and shown first. */
  #publish(): void {
    if (this.current.state === 'closed') return
    const troubles = [...this.#troubles.values()]
    const worst = troubles.find(trouble => trouble.state === 'stalled') ?? troubles[0]
    this.#subject.next(worst ?? { state: 'connected' })
  }
}
