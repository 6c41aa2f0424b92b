/**
 * The membership of a group and the changes to it: joint consensus, learners, and the entry that carries a change.
 * Source: Raft thesis, chapter 4 (joint consensus, learners); the shapes follow etcd-io/raft's ConfState.
 */
import type { LogIndex, ReplicaId } from './entry.ts'

/** A configuration. Joint while `votersOutgoing` is not empty: then both voter sets must agree. Ids in rising order. */
export interface Configuration {
  readonly voters: readonly ReplicaId[]
  readonly votersOutgoing: readonly ReplicaId[]
  readonly learners: readonly ReplicaId[]
  /** Voters of the outgoing set that become learners when the joint configuration is left. */
  readonly learnersNext: readonly ReplicaId[]
  /** The leader leaves the joint configuration by itself as soon as it is applied. */
  readonly autoLeave: boolean
}

export type ConfigChangeKind = 'addVoter' | 'addLearner' | 'remove' | 'update'

export interface ConfigChangeStep {
  readonly kind: ConfigChangeKind
  readonly id: ReplicaId
}

/**
 * A proposed change. No steps: leave the joint configuration. `auto` uses a simple change where one suffices, and an
 * automatically left joint one otherwise; `implicit` and `explicit` force a joint one, left by itself or on request.
 */
export interface ConfigChange {
  readonly steps: readonly ConfigChangeStep[]
  readonly transition: 'auto' | 'implicit' | 'explicit'
  /** Compare-and-set: refused unless the newest applied configuration entry has this index. */
  readonly expectedIndex?: LogIndex
}

/** What a `config` entry says: the change, and the whole configuration in force once it is applied. */
export interface ConfigEntry {
  readonly change: ConfigChange
  readonly result: Configuration
}
