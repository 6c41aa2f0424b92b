import type { Entry, Message } from '@millrace/raft-core'
import type { Frame } from '@millrace/record'
import { expect, test } from 'vitest'
import { Outbox } from './outbox.ts'
import type { GroupMessage, Transport } from './transport.ts'

function entry(index: number, term = 1, size = 100): Entry<Frame> {
  return { index, term, kind: 'normal', size, payload: null }
}

function append(prevIndex: number, entries: readonly Entry<Frame>[], commit = 0, over: object = {}): GroupMessage {
  const envelope = { type: 'append', from: 1, to: 2, term: 1, prevIndex, prevTerm: 1, commit, entries } as const
  return { group: 7, message: { ...envelope, ...over } }
}

function acknowledgement(index: number, over: object = {}): GroupMessage {
  const message = { type: 'appendResponse', from: 2, to: 1, term: 1, index, rejected: false } as const
  return { group: 7, message: { ...message, hintIndex: 0, hintTerm: 0, ...over } }
}

/** What leaves for node 9 after these messages were posted. */
function sent(...messages: readonly GroupMessage[]): readonly Message<Frame>[] {
  const outbox = new Outbox()
  for (const message of messages) outbox.post(9, message)
  const out: GroupMessage[] = []
  const send = (_node: number, batch: readonly GroupMessage[]): void => void out.push(...batch)
  outbox.flushAll({ send } as unknown as Transport)
  return out.map(({ message }) => message)
}

test('appends that continue each other leave as one, with the newest commit', () => {
  const [only, ...others] = sent(append(1, [entry(2)]), append(2, [entry(3), entry(4)], 1), append(4, [], 3))
  expect(others).toEqual([])
  expect(only).toMatchObject({ prevIndex: 1, commit: 3, entries: [{ index: 2 }, { index: 3 }, { index: 4 }] })
})

test('a gap, another term, another group or too many bytes keep appends apart', () => {
  expect(sent(append(1, [entry(2)]), append(3, [entry(4)]))).toHaveLength(2)
  expect(sent(append(1, [entry(2)]), append(2, [entry(3)], 0, { prevTerm: 2 }))).toHaveLength(2)
  expect(sent(append(1, [entry(2)]), append(2, [entry(3)], 0, { term: 2 }))).toHaveLength(2)
  expect(sent(append(1, [entry(2)]), { ...append(2, [entry(3)]), group: 8 })).toHaveLength(2)
  expect(sent(append(1, [entry(2, 1, 900_000)]), append(2, [entry(3, 1, 900_000)]))).toHaveLength(2)
})

test('the entries of the core’s own messages are never changed', () => {
  const entries = Object.freeze([entry(2)])
  const [only] = sent(append(1, entries), append(2, [entry(3)]))
  expect(entries).toHaveLength(1)
  expect(only).toMatchObject({ entries: [{ index: 2 }, { index: 3 }] })
})

test('of acknowledgements of one term the last says it all; refusals are kept', () => {
  expect(sent(acknowledgement(2), acknowledgement(5))).toMatchObject([{ index: 5 }])
  expect(sent(acknowledgement(5), acknowledgement(2))).toHaveLength(2)
  expect(sent(acknowledgement(2), acknowledgement(5, { rejected: true }))).toHaveLength(2)
  expect(sent(acknowledgement(2), acknowledgement(5, { term: 2 }))).toHaveLength(2)
})

test('heartbeats of ticks that were stepped together become one; others stay apart', () => {
  const heartbeat = (group: number, context: number, commit = 5): GroupMessage => ({
    group,
    message: { type: 'heartbeat', from: 1, to: 2, term: 3, commit, context },
  })
  const left = sent(heartbeat(1, 0), heartbeat(1, 0), heartbeat(1, 4), heartbeat(1, 4, 6), heartbeat(2, 4, 6))
  expect(left).toMatchObject([{ context: 0 }, { context: 4, commit: 5 }, { context: 4, commit: 6 }, { commit: 6 }])
})

test('news of a commit waits for an append to the same peer, or until everything is sent', () => {
  const outbox = new Outbox()
  const batches: [number, readonly GroupMessage[]][] = []
  const transport = { send: (node: number, batch: readonly GroupMessage[]) => void batches.push([node, batch]) }
  const flush = () => outbox.flush(transport as unknown as Transport)
  outbox.post(8, append(4, [], 3))
  outbox.post(9, append(4, [], 3))
  expect([flush(), batches]).toEqual([true, []])
  outbox.post(9, append(4, [entry(5)], 3))
  expect(flush()).toBe(true)
  expect(batches).toHaveLength(1)
  expect(batches[0]).toMatchObject([9, [{ message: { prevIndex: 4, commit: 3, entries: [{ index: 5 }] } }]])
  outbox.flushAll(transport as unknown as Transport)
  expect(batches).toHaveLength(2)
  expect(batches[1]).toMatchObject([8, [{ message: { commit: 3, entries: [] } }]])
  expect(flush()).toBe(false)
})

test('an answer does not wait, and takes news of other groups along in order', () => {
  const outbox = new Outbox()
  const batches: (readonly GroupMessage[])[] = []
  outbox.post(9, { ...append(4, [], 3), group: 3 })
  outbox.post(9, acknowledgement(5))
  outbox.flush({
    send: (_node: number, batch: readonly GroupMessage[]) => void batches.push(batch),
  } as unknown as Transport)
  expect(batches).toMatchObject([[{ group: 3 }, { group: 7 }]])
})
