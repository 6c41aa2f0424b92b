/**
 * The replicas of partitions on this node, kept in step with the catalogue: opens what it places here, removes what it
 * proves to be deleted. All of it beside apply, a few at a time; what fails is reported, and tried again where that can
 * help.
 *
 * Never removes a group because the catalogue does not mention it: only a deleted topic's entry is a reason.
 *
 * Invariant: a group has at most one task at a time.
 */
import { LogError } from '@millrace/log-store'
import type { Clock } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import type { PartitionReplica } from './partition-replica.ts'
import type { ReplicaPlan, ReplicaStores } from './replica-opener.ts'
import { openReplica } from './replica-opener.ts'
import { StateStoreError } from './state-store.ts'
import { TaskQueue } from './task-queue.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'

/** What this node should hold. */
export interface WantedReplicas {
  /** By group. */
  readonly plans: ReadonlyMap<number, ReplicaPlan>
  /**
   * The plan for a replica that this node has and is to have no longer: it takes part until the others have let it go.
   * Undefined where the catalogue does not say that.
   */
  leaving(group: number, replica: number): ReplicaPlan | undefined
  /** Whether the group belonged to a topic that was deleted. */
  isDeleted(group: number): boolean
}

/** A replica that the catalogue places here and that does not run. */
export interface FailedReplica {
  readonly plan: ReplicaPlan
  readonly error: Error
}

type Slot =
  | { readonly type: 'opening'; readonly plan: ReplicaPlan }
  | { readonly type: 'open'; readonly plan: ReplicaPlan; readonly replica: PartitionReplica }
  | { readonly type: 'removing' }
  | { readonly type: 'failed'; readonly plan: ReplicaPlan; readonly error: Error; readonly retry: boolean }

const RETRY_MS = 1_000

export class ReplicaSet {
  readonly #stores: ReplicaStores
  readonly #clock: Pick<Clock, 'setTimer'>
  readonly #slots = new Map<number, Slot>()
  readonly #tasks = new TaskQueue(TOPIC_LIMITS.openingReplicasMax)
  #wanted: WantedReplicas = { plans: new Map(), leaving: () => undefined, isDeleted: () => false }
  #retryTimer: { cancel(): void } | undefined
  #closed = false

  constructor(stores: ReplicaStores, clock: Pick<Clock, 'setTimer'>) {
    this.#stores = stores
    this.#clock = clock
  }

  get(group: number): PartitionReplica | undefined {
    const slot = this.#slots.get(group)
    return slot?.type === 'open' ? slot.replica : undefined
  }

  *open(): IterableIterator<{ readonly plan: ReplicaPlan; readonly replica: PartitionReplica }> {
    for (const slot of this.#slots.values()) if (slot.type === 'open') yield slot
  }

  *failed(): IterableIterator<FailedReplica> {
    for (const slot of this.#slots.values()) if (slot.type === 'failed') yield slot
  }

  /** Works towards `wanted`, from now until the next call. Returns at once. */
  reconcile(wanted: WantedReplicas): void {
    if (this.#closed) return
    this.#wanted = wanted
    for (const plan of wanted.plans.values()) {
      const slot = this.#slots.get(plan.group)
      if (slot === undefined) this.#startOpening(plan)
      // The other replicas of the group may have changed.
      else if (slot.type === 'open' && slot.plan.replica === plan.replica)
        this.#slots.set(plan.group, { ...slot, plan })
    }
    for (const { group, recovered } of this.#stores.logStore.groups()) {
      const plan = this.#slots.has(group) ? undefined : wanted.leaving(group, recovered.replicaId)
      if (plan !== undefined) this.#startOpening(plan)
    }
    const local = new Set([...this.#slots.keys(), ...this.#stores.logStore.groups().map(log => log.group)])
    for (const group of local) if (!wanted.plans.has(group) && wanted.isDeleted(group)) this.#startRemoving(group)
  }

  /** Finishes what is under way, starts nothing new, and refuses all use of the replicas with `reason`. */
  async close(reason: MillraceError): Promise<void> {
    this.#closed = true
    this.#retryTimer?.cancel()
    for (const { replica } of this.open()) replica.close(reason)
    await this.#tasks.close()
  }

  #startOpening(plan: ReplicaPlan): void {
    this.#slots.set(plan.group, { type: 'opening', plan })
    this.#tasks.add(async () => {
      // The topic may be deleted while this waits for its turn, or while it opens.
      if (this.#wanted.isDeleted(plan.group)) this.#slots.delete(plan.group)
      else await this.#open(plan)
      if (this.#wanted.isDeleted(plan.group)) this.#startRemoving(plan.group)
    })
  }

  async #open(plan: ReplicaPlan): Promise<void> {
    const { group } = plan
    try {
      const replica = await openReplica(this.#stores, plan)
      this.#slots.set(group, { type: 'open', plan, replica })
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause))
      const retry = mayHelpToRetry(error)
      this.#slots.set(group, { type: 'failed', plan, error, retry })
      const next = retry ? 'trying again' : 'it stays closed on this node'
      this.#report(
        group,
        `replica ${plan.replica} of ${plan.topic}/${plan.partition} cannot run: ${error.message}; ${next}`,
      )
      if (retry) this.#retryLater()
    }
  }

  #startRemoving(group: number): void {
    const slot = this.#slots.get(group)
    if (slot?.type === 'opening' || slot?.type === 'removing') return
    this.#slots.set(group, { type: 'removing' })
    if (slot?.type === 'open')
      slot.replica.close(new MillraceError('UNKNOWN_TOPIC', `topic ${slot.plan.topic} was deleted`))
    this.#tasks.add(() => this.#remove(group))
  }

  async #remove(group: number): Promise<void> {
    const { node, logStore, stateStore, snapshots } = this.#stores
    try {
      if (node.group(group) !== undefined) await node.closeGroup(group)
      // The log last: as long as it is there, a pass finds the group again.
      await snapshots.drop(group)
      await stateStore.drop(group)
      await logStore.drop(group)
    } catch (error) {
      this.#report(group, `the group of a deleted topic could not be removed: ${String(error)}; trying again`)
      this.#retryLater()
    }
    // What is still there is found again by the next pass.
    this.#slots.delete(group)
  }

  #retryLater(): void {
    if (this.#closed) return
    this.#retryTimer ??= this.#clock.setTimer(RETRY_MS, () => {
      this.#retryTimer = undefined
      for (const [group, slot] of this.#slots) if (slot.type === 'failed' && slot.retry) this.#slots.delete(group)
      this.reconcile(this.#wanted)
    })
  }

  #report(group: number, message: string): void {
    this.#stores.log({ level: 'error', group, message })
  }
}

/** A disk that has no room or fails for a moment. All else is the same at the next attempt. */
function mayHelpToRetry(error: Error): boolean {
  return (error instanceof LogError || error instanceof StateStoreError) && error.code === 'IO'
}
