/** What a trace hook hears: one event per transition of a group, for logs and tests. Never needed for correctness. */
import type { Configuration } from './configuration.ts'
import type { LogIndex, ReplicaId, Term } from './entry.ts'

export type TraceEvent =
  | { readonly type: 'becameFollower'; readonly id: ReplicaId; readonly term: Term; readonly leader: ReplicaId }
  | { readonly type: 'becamePreCandidate'; readonly id: ReplicaId; readonly term: Term }
  | { readonly type: 'becameCandidate'; readonly id: ReplicaId; readonly term: Term }
  | { readonly type: 'becameLeader'; readonly id: ReplicaId; readonly term: Term }
  | { readonly type: 'leaderForgotten'; readonly id: ReplicaId; readonly term: Term; readonly leader: ReplicaId }
  | { readonly type: 'voted'; readonly id: ReplicaId; readonly term: Term; readonly candidate: ReplicaId }
  | { readonly type: 'campaignRefused'; readonly id: ReplicaId; readonly reason: CampaignRefusal }
  | { readonly type: 'quorumLost'; readonly id: ReplicaId; readonly term: Term }
  | { readonly type: 'committed'; readonly id: ReplicaId; readonly term: Term; readonly index: LogIndex }
  | { readonly type: 'truncated'; readonly id: ReplicaId; readonly from: LogIndex }
  | { readonly type: 'snapshotRestored'; readonly id: ReplicaId; readonly index: LogIndex; readonly term: Term }
  | { readonly type: 'snapshotSent'; readonly id: ReplicaId; readonly peer: ReplicaId; readonly index: LogIndex }
  | {
      readonly type: 'configurationChanged'
      readonly id: ReplicaId
      readonly index: LogIndex
      readonly configuration: Configuration
    }
  | { readonly type: 'transferStarted'; readonly id: ReplicaId; readonly term: Term; readonly target: ReplicaId }
  | { readonly type: 'transferAborted'; readonly id: ReplicaId; readonly term: Term; readonly target: ReplicaId }
  /** A leader lacks an entry that is in a hole of its log. */
  | { readonly type: 'entryMissed'; readonly id: ReplicaId; readonly index: LogIndex }
  /** Entries that cannot be read are not applied: the state holds them already. */
  | { readonly type: 'holePassed'; readonly id: ReplicaId; readonly first: LogIndex; readonly last: LogIndex }
  | { readonly type: 'steppedDown'; readonly id: ReplicaId; readonly term: Term }
  | { readonly type: 'certain'; readonly id: ReplicaId; readonly index: LogIndex; readonly term: Term }

/** Why a replica that was due to campaign did not. */
export type CampaignRefusal =
  | 'notVoter'
  | 'unappliedConfigChange'
  | 'snapshotPending'
  | 'uncertain'
  | 'unreadConfiguration'
  | 'damaged'
  | 'notFlushed'
  | 'stateMissing'
