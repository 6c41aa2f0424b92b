/**
 * Random messages of every type that nodes exchange, with every field that the core gives them.
 *
 * The table below has an entry per type and field of `Message`: one that is new in the core does not compile here until
 * it is added, and then every transport is tested with it.
 */
import type { Entry, Message } from '@millrace/raft-core'
import { type Frame, FrameKind, sealFrame } from '@millrace/record'
import { entriesOfFrames, plainBody } from '../entry-frame.ts'
import type { GroupMessage } from '../transport.ts'

/** Types that never leave a replica, or that this version refuses by name on both sides. */
type NotExchanged = 'storageAppended' | 'storageApplied' | 'snapshot' | 'propose' | 'transferLeader'

export type ExchangedType = Exclude<Message['type'], NotExchanged>

type MessageOf<T extends ExchangedType, M = Message<Frame>> = M extends { readonly type: infer U }
  ? T extends U
    ? M
    : never
  : never

type Fields<T extends ExchangedType> = {
  readonly [K in Exclude<keyof Required<MessageOf<T>>, 'type'>]: (random: MessageRandom) => unknown
}

const uint = (random: MessageRandom): number => random.uint()
const replica = (random: MessageRandom): number => 1 + random.below(2 ** 31)
const flag = (random: MessageRandom): boolean => random.below(2) === 1
const flagOrAbsent = (random: MessageRandom): true | undefined => (random.below(2) === 1 ? true : undefined)
const positionOrAbsent = (random: MessageRandom): { index: number; term: number } | undefined =>
  random.below(2) === 1 ? { index: 1 + random.below(2 ** 40), term: random.uint() } : undefined

const ENVELOPE = { from: replica, to: replica, term: uint }
const VOTE: Fields<'vote'> = { ...ENVELOPE, lastIndex: uint, lastTerm: uint, transfer: flag }
const VOTE_RESPONSE: Fields<'voteResponse'> = { ...ENVELOPE, granted: flag, committed: positionOrAbsent }

const FIELDS: { readonly [T in ExchangedType]: Fields<T> } = {
  append: { ...ENVELOPE, prevIndex: uint, prevTerm: uint, commit: uint, entries: randomEntries },
  appendResponse: {
    ...ENVELOPE,
    index: uint,
    rejected: flag,
    hintIndex: uint,
    hintTerm: uint,
    lostTail: flagOrAbsent,
  },
  heartbeat: { ...ENVELOPE, commit: uint, context: uint },
  heartbeatResponse: { ...ENVELOPE, context: uint, lostTail: flagOrAbsent },
  timeoutNow: ENVELOPE,
  readIndex: { ...ENVELOPE, context: uint },
  readIndexResponse: { ...ENVELOPE, index: uint, context: uint },
  vote: VOTE,
  preVote: VOTE,
  voteResponse: VOTE_RESPONSE,
  preVoteResponse: VOTE_RESPONSE,
}

/** All types of the table. */
export const EXCHANGED_TYPES: readonly ExchangedType[] = Object.keys(FIELDS) as ExchangedType[]

/** A small generator with a seed (xorshift32), so that a failure can be repeated. */
export class MessageRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 1
  }

  /** Uniform in [0, bound). */
  below(bound: number): number {
    return Math.floor((this.#next() / 2 ** 32) * bound)
  }

  /** A safe unsigned integer of any length in bits, 0 and the largest included. */
  uint(): number {
    const bits = this.below(54)
    const value = this.below(2 ** 21) * 2 ** 32 + this.#next()
    return bits === 53 ? Number.MAX_SAFE_INTEGER : value % 2 ** bits
  }

  #next(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return x >>> 0
  }
}

/** A message of that type with random fields; optional fields are there or not. */
export function randomMessage(type: ExchangedType, group: number, random: MessageRandom): GroupMessage {
  const message: Record<string, unknown> = { type }
  for (const [field, make] of Object.entries(FIELDS[type])) {
    const value = make(random)
    if (value !== undefined) message[field] = value
  }
  const made = { group, message: message as unknown as Message<Frame> }
  return type === 'appendResponse' && flag(random) ? { ...made, busy: true } : made
}

/** Frames as another node may have sealed them: any position, any size, not necessarily one that follows the other. */
function randomEntries(random: MessageRandom): Entry<Frame>[] {
  const kinds = [FrameKind.noop, FrameKind.command, FrameKind.records, FrameKind.logStart]
  const frames = Array.from({ length: random.below(4) }, () => {
    const kind = kinds[random.below(kinds.length)]!
    const payload = Uint8Array.from({ length: random.below(300) }, () => random.below(256))
    const body = { ...plainBody(kind, payload), recordCount: kind === FrameKind.records ? 1 + random.below(9) : 0 }
    return sealFrame(body, {
      group: random.below(1_000),
      index: 1 + random.below(2 ** 40),
      term: 1 + random.below(2 ** 30),
      baseOffset: random.below(2 ** 40),
      timestamp: random.below(2 ** 40),
      previousChain: random.below(2 ** 32),
    })
  })
  return entriesOfFrames(frames)
}
