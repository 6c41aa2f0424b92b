/**
 * Heartbeats, votes and the other small messages as bytes: fields of HeartbeatRequest, HeartbeatResponse,
 * RequestVoteRequest and RequestVoteResponse. Each encoder takes from a list what belongs to its message.
 */
import type { GroupMessage } from '../transport.ts'
import { WireReader, WireWriter } from './wire.ts'

const HEARTBEATS = 2
const TIMEOUTS_NOW = 3
const READ_INDEXES = 4
const HEARTBEAT_RESPONSES = 2
const READ_INDEX_RESPONSES = 3
const VOTES = 2
/** Stands for the committed entry in a vote response that names none. */
const NOT_SAID = { index: 0, term: 0 }
/** A typical small message. */
const MESSAGE_BYTES = 32

export function encodeHeartbeats(messages: readonly GroupMessage[]): Buffer {
  const writer = new WireWriter(messages.length * MESSAGE_BYTES)
  for (const { group, message: m } of messages) {
    if (m.type === 'heartbeat') writer.uints(HEARTBEATS, [group, m.from, m.to, m.term, m.commit, m.context])
    else if (m.type === 'timeoutNow') writer.uints(TIMEOUTS_NOW, [group, m.from, m.to, m.term])
    else if (m.type === 'readIndex') writer.uints(READ_INDEXES, [group, m.from, m.to, m.term, m.context])
  }
  return writer.finish()
}

/** @throws WireError */
export function decodeHeartbeats(bytes: Uint8Array): GroupMessage[] {
  const out: GroupMessage[] = []
  const reader = new WireReader(bytes)
  while (reader.next()) {
    if (reader.field < HEARTBEATS || reader.field > READ_INDEXES) continue
    const type = reader.field
    const f = reader.uints(6)
    const group = f[1]!
    const envelope = { from: f[2]!, to: f[3]!, term: f[4]! }
    if (type === HEARTBEATS) {
      out.push({ group, message: { type: 'heartbeat', ...envelope, commit: f[5]!, context: f[6]! } })
    } else if (type === TIMEOUTS_NOW) {
      out.push({ group, message: { type: 'timeoutNow', ...envelope } })
    } else {
      out.push({ group, message: { type: 'readIndex', ...envelope, context: f[5]! } })
    }
  }
  return out
}

export function encodeHeartbeatResponses(messages: readonly GroupMessage[]): Buffer {
  const writer = new WireWriter(messages.length * MESSAGE_BYTES)
  for (const { group, message: m } of messages) {
    if (m.type === 'heartbeatResponse') {
      writer.uints(HEARTBEAT_RESPONSES, [group, m.from, m.to, m.term, m.context, m.lostTail === true ? 1 : 0])
    } else if (m.type === 'readIndexResponse') {
      writer.uints(READ_INDEX_RESPONSES, [group, m.from, m.to, m.term, m.index, m.context])
    }
  }
  return writer.finish()
}

/** @throws WireError */
export function decodeHeartbeatResponses(bytes: Uint8Array): GroupMessage[] {
  const out: GroupMessage[] = []
  const reader = new WireReader(bytes)
  while (reader.next()) {
    if (reader.field !== HEARTBEAT_RESPONSES && reader.field !== READ_INDEX_RESPONSES) continue
    const type = reader.field
    const f = reader.uints(6)
    const group = f[1]!
    const envelope = { from: f[2]!, to: f[3]!, term: f[4]! }
    if (type === HEARTBEAT_RESPONSES) {
      const message = { type: 'heartbeatResponse', ...envelope, context: f[5]! } as const
      out.push({ group, message: f[6] === 0 ? message : { ...message, lostTail: true } })
    } else {
      out.push({ group, message: { type: 'readIndexResponse', ...envelope, index: f[5]!, context: f[6]! } })
    }
  }
  return out
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
