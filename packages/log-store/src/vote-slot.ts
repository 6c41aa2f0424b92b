/** One slot of the vote file as bytes: a replica's term and vote, how far its birth got, and an uncertain end. */
import {
  allZero,
  type FormatFault,
  getU64,
  Magic,
  openStructure,
  sealStructure,
  setU64,
  startStructure,
} from './format.ts'

export const VOTE_SLOT_BYTES = 128

/** How far a replica's life has got. Only `born` may vote. */
export const ReplicaState = { intended: 0, born: 1, dropped: 2 } as const
export type ReplicaState = (typeof ReplicaState)[keyof typeof ReplicaState]

export interface VoteSlot {
  readonly slot: number
  readonly sequence: number
  readonly group: number
  readonly replicaId: number
  readonly state: ReplicaState
  readonly term: number
  readonly vote: number
  /** Index 0: the end is certain. */
  readonly uncertainIndex: number
  readonly uncertainTerm: number
}

/** Writes a slot into its place in a block. */
export function encodeVoteSlot(slot: VoteSlot, into: Uint8Array): void {
  into.fill(0)
  const view = startStructure(into, Magic.vote)
  view.setUint8(6, slot.state)
  setU64(view, 8, slot.sequence)
  setU64(view, 16, slot.group)
  setU64(view, 24, slot.replicaId)
  setU64(view, 32, slot.term)
  setU64(view, 40, slot.vote)
  setU64(view, 48, slot.uncertainIndex)
  setU64(view, 56, slot.uncertainTerm)
  view.setUint32(120, slot.slot, true)
  sealStructure(into)
}

/** Reads the copy of slot `slot`: what it says, `never` where nothing was ever written, or what is wrong. */
export function decodeVoteSlot(bytes: Uint8Array, slot: number): VoteSlot | 'never' | FormatFault {
  if (allZero(bytes)) return 'never'
  const view = openStructure(bytes, VOTE_SLOT_BYTES, Magic.vote)
  if (typeof view === 'string') return view
  const state = view.getUint8(6)
  if (view.getUint32(120, true) !== slot || state > ReplicaState.dropped) return 'value'
  return {
    slot,
    sequence: getU64(view, 8),
    group: getU64(view, 16),
    replicaId: getU64(view, 24),
    state: state as ReplicaState,
    term: getU64(view, 32),
    vote: getU64(view, 40),
    uncertainIndex: getU64(view, 48),
    uncertainTerm: getU64(view, 56),
  }
}
