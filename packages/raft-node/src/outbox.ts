/**
 * What a turn has to say to each peer, handed to the transport once, at the end of the turn's steps. An append without
 * entries, which tells of a commit, waits for company: the next append says the same.
 *
 * The core answers every input with messages of its own. Within a turn, appends of a group that continue each other
 * become one append, and of several acknowledgements or equal heartbeats the last one says it all, so a turn with 64
 * proposals is one message and one answer per follower.
 */
import type { AppendRequest, AppendResponse, Entry, Heartbeat } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import type { GroupMessage, Transport } from './transport.ts'

/** Frames of one append; the core's own messages are not split. */
const APPEND_BYTES_MAX = 1024 * 1024
/** A frame of at least this travels alone: its receiver can keep it in the message that it came in, without a copy. */
export const ALONE_BYTES_MIN: number = 192 * 1024

interface PeerBox {
  messages: GroupMessage[]
  /** Something here is more than news of a commit. */
  urgent: boolean
  /** Entries of the last message, if it was put together here and may grow. */
  growing: Entry<Frame>[] | undefined
  growingBytes: number
}

export class Outbox {
  readonly #boxes = new Map<number, PeerBox>()

  post(node: number, message: GroupMessage): void {
    const box = this.#box(node)
    if (!isCommitNews(message)) box.urgent = true
    const last = box.messages[box.messages.length - 1]
    if (last === undefined || last.group !== message.group || !merge(box, last, message)) {
      box.messages.push(message)
      box.growing = undefined
    }
  }

  /**
   * Sends what is urgent, and what waited for the same peer with it.
   *
   * @returns whether news of commits waits
   */
  flush(transport: Transport): boolean {
    let waiting = false
    for (const [node, box] of this.#boxes) {
      if (box.urgent) send(transport, node, box)
      else if (box.messages.length > 0) waiting = true
    }
    return waiting
  }

  /** Sends everything. */
  flushAll(transport: Transport): void {
    for (const [node, box] of this.#boxes) if (box.messages.length > 0) send(transport, node, box)
  }

  #box(node: number): PeerBox {
    let box = this.#boxes.get(node)
    if (box === undefined) {
      box = { messages: [], urgent: false, growing: undefined, growingBytes: 0 }
      this.#boxes.set(node, box)
    }
    return box
  }
}

function isCommitNews({ message }: GroupMessage): boolean {
  return message.type === 'append' && message.entries.length === 0
}

function send(transport: Transport, node: number, box: PeerBox): void {
  const { messages } = box
  box.messages = []
  box.urgent = false
  box.growing = undefined
  transport.send(node, messages)
}

/** Makes one message of two of a group, where that says the same. */
function merge(box: PeerBox, last: GroupMessage, next: GroupMessage): boolean {
  const a = last.message
  const b = next.message
  if (a.type === 'append' && b.type === 'append') return mergeAppends(box, last.group, a, b)
  const superseded =
    a.type === 'heartbeat' && b.type === 'heartbeat'
      ? sameHeartbeat(a, b)
      : a.type === 'appendResponse' && b.type === 'appendResponse' && supersedes(a, b)
  if (superseded) {
    box.messages[box.messages.length - 1] = next
    return true
  }
  return false
}

/** Of ticks that were stepped together. */
function sameHeartbeat(a: Heartbeat, b: Heartbeat): boolean {
  return a.term === b.term && a.to === b.to && a.context === b.context && a.commit === b.commit
}

function supersedes(a: AppendResponse, b: AppendResponse): boolean {
  const accepted = !a.rejected && !b.rejected
  return accepted && a.term === b.term && a.from === b.from && a.to === b.to && a.index <= b.index
}

function mergeAppends(box: PeerBox, group: number, a: AppendRequest<Frame>, b: AppendRequest<Frame>): boolean {
  const lastEntry = a.entries[a.entries.length - 1]
  const lastTerm = lastEntry === undefined ? a.prevTerm : lastEntry.term
  const continues = b.prevIndex === a.prevIndex + a.entries.length && b.prevTerm === lastTerm
  if (!continues || a.term !== b.term || a.to !== b.to || a.from !== b.from || a.commit > b.commit) return false
  if (box.growing === undefined) {
    box.growing = [...a.entries]
    box.growingBytes = bytesOf(a.entries)
  }
  const more = bytesOf(b.entries)
  if (box.growingBytes + more > APPEND_BYTES_MAX || isAlone(a, b)) return false
  for (const entry of b.entries) box.growing.push(entry)
  box.growingBytes += more
  box.messages[box.messages.length - 1] = { group, message: { ...a, commit: b.commit, entries: box.growing } }
  return true
}

/** One of the two is a single large frame. */
function isAlone(a: AppendRequest<Frame>, b: AppendRequest<Frame>): boolean {
  const isLarge = ({ entries }: AppendRequest<Frame>): boolean =>
    entries.length === 1 && entries[0]!.size >= ALONE_BYTES_MIN
  return (isLarge(a) && b.entries.length > 0) || (isLarge(b) && a.entries.length > 0)
}

function bytesOf(entries: readonly Entry<Frame>[]): number {
  let bytes = 0
  for (const entry of entries) bytes += entry.size
  return bytes
}
