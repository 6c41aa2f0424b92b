import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  AppendEntriesRequestSchema,
  AppendEntriesResponseSchema,
  HeartbeatRequestSchema,
  HeartbeatResponseSchema,
  RequestVoteRequestSchema,
  RequestVoteResponseSchema,
} from '@millrace/proto'
import { expect, test } from 'vitest'
import { entryOfFrame } from '../entry-frame.ts'
import { joinedFrames } from '../testing/joined-frames.ts'
import type { GroupMessage } from '../transport.ts'
import { decodeAppendResponses, decodeAppends, encodeAppendResponses, encodeAppends } from './append-codec.ts'
import * as control from './control-codec.ts'
import { decodeHello, decodeWelcome, encodeHello, encodeWelcome, type PeerHello, refuseHello } from './handshake.ts'
import { WireReader, WireWriter } from './wire.ts'

const BIG = Number.MAX_SAFE_INTEGER
const NEVER = (_group: number, reason: string): never => {
  throw new Error(reason)
}

test('an append is what the generated code reads, and is read from what the generated code writes', () => {
  const frames = joinedFrames(300, 12, 3)
  const entries = frames.map(entryOfFrame)
  const envelope = { type: 'append', from: 7, to: 0, term: 2 ** 40, prevIndex: 11, prevTerm: 3, commit: BIG } as const
  const bytes = encodeAppends([{ group: 300, message: { ...envelope, entries } }]).toBuffer()
  const read = fromBinary(AppendEntriesRequestSchema, bytes)
  expect(read.appends).toHaveLength(1)
  const [append] = read.appends
  expect(append).toMatchObject({ group: 300n, from: 7, term: 2n ** 40n, previousIndex: 11n, previousTerm: 3n })
  expect(append!.commit).toBe(BigInt(BIG))
  expect(Buffer.from(append!.frames).equals(Buffer.concat(frames.map(frame => frame.bytes)))).toBe(true)
  const written = toBinary(AppendEntriesRequestSchema, create(AppendEntriesRequestSchema, { appends: read.appends }))
  expect(Buffer.from(written).equals(bytes)).toBe(true)
  const [decoded] = decodeAppends(written, NEVER)
  expect(decoded).toMatchObject({ group: 300, message: envelope })
})

test('a frame that is kept keeps little more than itself alive, whatever it came with', () => {
  const ofSize = (group: number, count: number, bytes: number): GroupMessage => {
    const entries = joinedFrames(group, 6, count, bytes).map(entryOfFrame)
    return {
      group,
      message: { type: 'append', from: 1, to: 0, term: 3, prevIndex: 5, prevTerm: 3, commit: 1, entries },
    }
  }
  const carriers = [[ofSize(1, 1, 100), ofSize(2, 9, 200_000), ofSize(3, 400, 900)], [ofSize(4, 1, 3_000_000)]]
  for (const sent of carriers) {
    // As a message arrives: in a buffer of its own.
    const bytes = Buffer.from(Uint8Array.from(encodeAppends(sent).toBuffer()).buffer)
    const received = decodeAppends(bytes, NEVER)
    expect(received.map(({ message }) => message.type === 'append' && message.entries.length)).toEqual(
      sent.map(({ message }) => message.type === 'append' && message.entries.length),
    )
    for (const [i, { message }] of received.entries()) {
      const original = sent[i]!.message
      if (message.type !== 'append' || original.type !== 'append') throw new Error(message.type)
      for (const [at, { payload }] of message.entries.entries()) {
        const beside = payload!.bytes.buffer.byteLength - payload!.bytes.length
        expect(beside).toBeLessThanOrEqual(64 * 1024)
        expect(payload!.header.producerId.buffer).toBe(payload!.bytes.buffer)
        expect(Buffer.compare(payload!.bytes, original.entries[at]!.payload!.bytes)).toBe(0)
      }
    }
    const whole = received.find(({ group }) => group === 4)?.message
    if (whole?.type === 'append') expect(whole.entries[0]!.payload!.bytes.buffer).toBe(bytes.buffer)
  }
})

const CASES: readonly {
  readonly name: string
  readonly schema: Parameters<typeof fromBinary>[0]
  readonly encode: (messages: readonly GroupMessage[]) => Buffer
  readonly decode: (bytes: Uint8Array) => readonly GroupMessage[]
  readonly messages: readonly GroupMessage['message'][]
}[] = [
  {
    name: 'heartbeats',
    schema: HeartbeatRequestSchema,
    encode: control.encodeHeartbeats,
    decode: bytes => control.decodeHeartbeats(bytes).messages,
    messages: [
      { type: 'heartbeat', from: 1, to: 2, term: 3, commit: BIG, context: 0 },
      { type: 'timeoutNow', from: 1, to: 2, term: 3 },
      { type: 'readIndex', from: 1, to: 2, term: 3, context: 4 },
    ],
  },
  {
    name: 'heartbeat responses',
    schema: HeartbeatResponseSchema,
    encode: control.encodeHeartbeatResponses,
    decode: bytes => control.decodeHeartbeatResponses(bytes).messages,
    messages: [
      { type: 'heartbeatResponse', from: 1, to: 2, term: 3, context: BIG },
      { type: 'heartbeatResponse', from: 1, to: 2, term: 3, context: 0, lostTail: true },
      { type: 'readIndexResponse', from: 1, to: 2, term: 3, index: 2 ** 32, context: 4 },
    ],
  },
  {
    name: 'votes',
    schema: RequestVoteRequestSchema,
    encode: control.encodeVotes,
    decode: control.decodeVotes,
    messages: [
      { type: 'vote', from: 1, to: 2, term: 3, lastIndex: 4, lastTerm: 2, transfer: true },
      { type: 'preVote', from: 1, to: 2, term: 3, lastIndex: BIG, lastTerm: 2, transfer: false },
    ],
  },
  {
    name: 'vote responses',
    schema: RequestVoteResponseSchema,
    encode: control.encodeVoteResponses,
    decode: control.decodeVoteResponses,
    messages: [
      { type: 'voteResponse', from: 1, to: 2, term: 3, granted: false },
      { type: 'preVoteResponse', from: 1, to: 2, term: 3, granted: true },
      { type: 'preVoteResponse', from: 1, to: 2, term: 3, granted: false, committed: { index: BIG, term: 2 } },
    ],
  },
  {
    name: 'append responses',
    schema: AppendEntriesResponseSchema,
    encode: encodeAppendResponses,
    decode: decodeAppendResponses,
    messages: [
      { type: 'appendResponse', from: 1, to: 2, term: 3, rejected: true, index: 9, hintIndex: 5, hintTerm: 2 },
      { type: 'appendResponse', from: 1, to: 2, term: 3, rejected: false, index: BIG, hintIndex: 0, hintTerm: 0 },
      {
        ...{ type: 'appendResponse', from: 1, to: 2, term: 3, rejected: true, index: 4, hintIndex: 1, hintTerm: 1 },
        lostTail: true,
      },
    ],
  },
]

test.each(CASES)('$name agree with the generated code both ways', ({ schema, encode, decode, messages }) => {
  const sent = messages.map((message, i) => ({ group: i * 2 ** 33, message }))
  const bytes = encode(sent)
  expect(decode(bytes)).toEqual(sent)
  const again = toBinary(schema, fromBinary(schema, bytes))
  expect(Buffer.from(again).equals(bytes)).toBe(true)
})

test('beats and marks of quiet groups agree with the generated code both ways', () => {
  const envelope = { from: 1, to: 2, term: 3 }
  const beat = { answer: false, session: 2 ** 31, number: BIG, heard: 7, left: [0, 1, 300, 2 ** 40] }
  const offer = {
    group: 4,
    message: { type: 'heartbeat', ...envelope, commit: 5, context: 0 },
    quiet: 2 ** 31,
  } as const
  const offers = control.encodeHeartbeats([{ ...beat, left: [9] }, offer, beat])
  expect(control.decodeHeartbeats(offers)).toEqual({ messages: [offer], beat })
  expect(Buffer.from(toBinary(HeartbeatRequestSchema, fromBinary(HeartbeatRequestSchema, offers)))).toEqual(offers)
  const agreed = { group: 4, message: { type: 'heartbeatResponse', ...envelope, context: 0 }, quiet: 9 } as const
  const answers = control.encodeHeartbeatResponses([agreed, { ...beat, answer: true }])
  expect(control.decodeHeartbeatResponses(answers)).toEqual({ messages: [agreed], beat: { ...beat, answer: true } })
  expect(Buffer.from(toBinary(HeartbeatResponseSchema, fromBinary(HeartbeatResponseSchema, answers)))).toEqual(answers)
})

test('hello and welcome survive the way, and say what is wrong', () => {
  const self = { clusterId: 'clüster', nodeId: 2, incarnation: BIG }
  const hello = decodeHello(encodeHello({ ...self, nodeId: 1 }, 2))
  expect(hello).toMatchObject({ clusterId: 'clüster', fromNode: 1, toNode: 2, incarnation: BIG })
  expect(refuseHello(self, hello)).toBeUndefined()
  expect(decodeWelcome(encodeWelcome(self, hello!))).toEqual({ incarnation: BIG, protocol: 1 })
  const refusals: [Partial<PeerHello>, string][] = [
    [{ clusterId: 'x' }, 'belongs to cluster x'],
    [{ toNode: 5 }, 'looks for node 5'],
    [{ fromNode: 2 }, 'same id as this node'],
    [{ protocolMin: 2, protocolMax: 3 }, 'speaks peer protocol 2–3'],
  ]
  for (const [over, reason] of refusals) expect(refuseHello(self, { ...hello!, ...over })).toContain(reason)
  expect(refuseHello(self, undefined)).toContain('does not begin with a hello')
})

test('integers above 2^53 − 1, cut messages and wrong wire types are refused', () => {
  const writer = new WireWriter(8)
  expect(() => writer.uint(1, 2 ** 53)).toThrow(RangeError)
  const huge = Buffer.from([8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])
  const reader = new WireReader(huge)
  reader.next()
  expect(() => reader.uint()).toThrow('above 2^53')
  const cut = new WireReader(Buffer.from([0x12, 9, 1]))
  cut.next()
  expect(() => cut.bytes()).toThrow('ends inside field 2')
  const wrong = new WireReader(Buffer.from([0x0d, 1, 2, 3, 4]))
  wrong.next()
  expect(() => wrong.uint()).toThrow('wire type 5')
})
