/** What a scripted node shows of one turn, and the messages of the scripts: the core's, and those to a node's own threads. */
import type {
  AppendTask,
  ApplyTask,
  Entry,
  HardState,
  Message,
  ReadState,
  SnapshotMeta,
  SoftState,
} from '../../src/index.ts'

export interface Payload {
  readonly data: string
  /** A configuration change in the older of the two encodings. */
  readonly v1?: boolean
}

/** A task on its way to the append or apply thread of its own node. */
export type ThreadMessage = {
  readonly from: number
  readonly to: number
  /** Printed with the message, and not a part of it once the thread works on it. */
  readonly responses: readonly Message<Payload>[]
} & (
  | { readonly type: 'threadAppend'; readonly task: AppendTask<Payload> }
  | { readonly type: 'threadApply'; readonly task: ApplyTask<Payload> }
)

export type WireMessage = Message<Payload> | ThreadMessage

export interface Ready {
  readonly mustSync: boolean
  readonly soft?: SoftState | undefined
  readonly hardState?: HardState | undefined
  readonly reads: readonly ReadState[]
  readonly entries: readonly Entry<Payload>[]
  readonly snapshot?: SnapshotMeta<Payload> | undefined
  readonly committed: readonly Entry<Payload>[]
  readonly messages: readonly WireMessage[]
}

export function isLocal(message: WireMessage): boolean {
  return message.from === message.to
}
