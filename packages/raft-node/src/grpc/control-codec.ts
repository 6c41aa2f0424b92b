/**
 * Heartbeats, votes and the other small messages as bytes: fields of HeartbeatRequest, HeartbeatResponse,
 * RequestVoteRequest and RequestVoteResponse. Each encoder takes from a list what belongs to its message.
 */
import type { GroupMessage, QuietBeat } from '../transport.ts'
import { WireReader, WireWriter } from './wire.ts'

const HEARTBEATS = 2
const TIMEOUTS_NOW = 3
const READ_INDEXES = 4
const HEARTBEAT_RESPONSES = 2
const READ_INDEX_RESPONSES = 3
const QUIET = 5
const QUIET_ANSWER = 4
const VOTES = 2
/** Stands for the committed entry in a vote response that names none. */
const NOT_SAID = { index: 0, term: 0 }
/** A typical small message. */
const MESSAGE_BYTES = 32

/** What the control stream carries one way. */
export type ControlItem = GroupMessage | QuietBeat

/** What a message of the control stream holds. */
export interface ControlBatch {
  readonly messages: readonly GroupMessage[]
  readonly beat: QuietBeat | undefined
}

export function encodeHeartbeats(items: readonly ControlItem[]): Buffer {
  const writer = new WireWriter(items.length * MESSAGE_BYTES)
  let beat: QuietBeat | undefined
  for (const item of items) {
    // The newest says all that the ones before it said.
    if (!('message' in item)) {
      beat = item
      continue
    }
    const { group, message: m, quiet = 0 } = item
    if (m.type === 'heartbeat') writer.uints(HEARTBEATS, [group, m.from, m.to, m.term, m.commit, m.context, quiet])
    else if (m.type === 'timeoutNow') writer.uints(TIMEOUTS_NOW, [group, m.from, m.to, m.term])
    else if (m.type === 'readIndex') writer.uints(READ_INDEXES, [group, m.from, m.to, m.term, m.context])
  }
  if (beat !== undefined) encodeBeat(writer, QUIET, beat)
  return writer.finish()
}

/** @throws WireError */
export function decodeHeartbeats(bytes: Uint8Array): ControlBatch {
  const out: GroupMessage[] = []
  let beat: QuietBeat | undefined
  const reader = new WireReader(bytes)
  while (reader.next()) {
    if (reader.field === QUIET) beat = decodeBeat(reader.message(), false)
    if (reader.field < HEARTBEATS || reader.field > READ_INDEXES) continue
    const type = reader.field
    const f = reader.uints(7)
    const group = f[1]!
    const envelope = { from: f[2]!, to: f[3]!, term: f[4]! }
    if (type === HEARTBEATS) {
      const message = { type: 'heartbeat', ...envelope, commit: f[5]!, context: f[6]! } as const
      out.push(f[7] === 0 ? { group, message } : { group, message, quiet: f[7]! })
    } else if (type === TIMEOUTS_NOW) {
      out.push({ group, message: { type: 'timeoutNow', ...envelope } })
    } else {
      out.push({ group, message: { type: 'readIndex', ...envelope, context: f[5]! } })
    }
  }
  return { messages: out, beat }
}

export function encodeHeartbeatResponses(items: readonly ControlItem[]): Buffer {
  const writer = new WireWriter(items.length * MESSAGE_BYTES)
  let beat: QuietBeat | undefined
  for (const item of items) {
    if (!('message' in item)) {
      beat = item
      continue
    }
    const { group, message: m, quiet = 0 } = item
    if (m.type === 'heartbeatResponse') {
      const lost = m.lostTail === true ? 1 : 0
      writer.uints(HEARTBEAT_RESPONSES, [group, m.from, m.to, m.term, m.context, lost, quiet])
    } else if (m.type === 'readIndexResponse') {
      writer.uints(READ_INDEX_RESPONSES, [group, m.from, m.to, m.term, m.index, m.context])
    }
  }
  if (beat !== undefined) encodeBeat(writer, QUIET_ANSWER, beat)
  return writer.finish()
}

/** @throws WireError */
export function decodeHeartbeatResponses(bytes: Uint8Array): ControlBatch {
  const out: GroupMessage[] = []
  let beat: QuietBeat | undefined
  const reader = new WireReader(bytes)
  while (reader.next()) {
    if (reader.field === QUIET_ANSWER) beat = decodeBeat(reader.message(), true)
    if (reader.field !== HEARTBEAT_RESPONSES && reader.field !== READ_INDEX_RESPONSES) continue
    const type = reader.field
    const f = reader.uints(7)
    const group = f[1]!
    const envelope = { from: f[2]!, to: f[3]!, term: f[4]! }
    if (type === HEARTBEAT_RESPONSES) {
      const plain = { type: 'heartbeatResponse', ...envelope, context: f[5]! } as const
      const message = f[6] === 0 ? plain : ({ ...plain, lostTail: true } as const)
      out.push(f[7] === 0 ? { group, message } : { group, message, quiet: f[7]! })
    } else {
      out.push({ group, message: { type: 'readIndexResponse', ...envelope, index: f[5]!, context: f[6]! } })
    }
  }
  return { messages: out, beat }
}

function encodeBeat(writer: WireWriter, field: number, { session, number, heard, left }: QuietBeat): void {
  const nested = new WireWriter(MESSAGE_BYTES + left.length * 4)
  nested.uintFields([session, number, heard])
  nested.packedUints(4, left)
  writer.message(field, nested)
}

function decodeBeat(reader: WireReader, answer: boolean): QuietBeat {
  const beat = { answer, session: 0, number: 0, heard: 0, left: [] as number[] }
  while (reader.next()) {
    if (reader.field === 1) beat.session = reader.uint()
    else if (reader.field === 2) beat.number = reader.uint()
    else if (reader.field === 3) beat.heard = reader.uint()
    else if (reader.field === 4) beat.left = reader.packedUints()
  }
  return beat
}

export function encodeVotes(messages: readonly GroupMessage[]): Buffer {
  const writer = new WireWriter(messages.length * MESSAGE_BYTES)
  for (const { group, message: m } of messages) {
    if (m.type !== 'vote' && m.type !== 'preVote') continue
    const preVote = m.type === 'preVote' ? 1 : 0
    const transfer = m.transfer ? 1 : 0
    writer.uints(VOTES, [group, m.from, m.to, m.term, preVote, m.lastIndex, m.lastTerm, transfer])
  }
  return writer.finish()
}

/** @throws WireError */
export function decodeVotes(bytes: Uint8Array): GroupMessage[] {
  const out: GroupMessage[] = []
  const reader = new WireReader(bytes)
  while (reader.next()) {
    if (reader.field !== VOTES) continue
    const f = reader.uints(8)
    const type = f[5] === 0 ? 'vote' : 'preVote'
    const envelope = { from: f[2]!, to: f[3]!, term: f[4]! }
    const message = { type, ...envelope, lastIndex: f[6]!, lastTerm: f[7]!, transfer: f[8] !== 0 } as const
    out.push({ group: f[1]!, message })
  }
  return out
}

export function encodeVoteResponses(messages: readonly GroupMessage[]): Buffer {
  const writer = new WireWriter(messages.length * MESSAGE_BYTES)
  for (const { group, message: m } of messages) {
    if (m.type !== 'voteResponse' && m.type !== 'preVoteResponse') continue
    const preVote = m.type === 'preVoteResponse' ? 1 : 0
    const { index, term } = m.committed ?? NOT_SAID
    writer.uints(VOTES, [group, m.from, m.to, m.term, preVote, m.granted ? 1 : 0, index, term])
  }
  return writer.finish()
}

/** @throws WireError */
export function decodeVoteResponses(bytes: Uint8Array): GroupMessage[] {
  const out: GroupMessage[] = []
  const reader = new WireReader(bytes)
  while (reader.next()) {
    if (reader.field !== VOTES) continue
    const f = reader.uints(8)
    const type = f[5] === 0 ? 'voteResponse' : 'preVoteResponse'
    const message = { type, from: f[2]!, to: f[3]!, term: f[4]!, granted: f[6] !== 0 } as const
    const said = f[7] !== NOT_SAID.index
    out.push({ group: f[1]!, message: said ? { ...message, committed: { index: f[7]!, term: f[8]! } } : message })
  }
  return out
}
