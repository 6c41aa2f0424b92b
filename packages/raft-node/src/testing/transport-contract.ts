/** What every transport does, as one suite: called with a way to make transports of one network. */
import type { Message } from '@millrace/raft-core'
import { crc32, type Frame } from '@millrace/record'
import { describe, expect, test } from 'vitest'
import { entryOfFrame } from '../entry-frame.ts'
import type { SnapshotAnswer } from '../snapshot-calls.ts'
import type { GroupMessage, Transport } from '../transport.ts'
import { joinedFrames } from './joined-frames.ts'
import { EXCHANGED_TYPES, MessageRandom, randomMessage } from './random-messages.ts'
import {
  byType,
  RecordingEvents,
  type RecordingHandler,
  snapshotOffer,
  type TransportNetwork,
  transportStarter,
} from './recording-handler.ts'
import { until } from './until.ts'

function append(group: number, frames: readonly Frame[]): GroupMessage {
  const first = frames[0]?.header.index ?? 5
  const entries = frames.map(entryOfFrame)
  const message = {
    type: 'append',
    from: 1,
    to: 2,
    term: 3,
    prevIndex: first - 1,
    prevTerm: 3,
    commit: 2,
    entries,
  } as const
  return { group, message }
}

/** One message of every type that travels from the replica that asks to the one that answers. */
const QUESTIONS: readonly Message<Frame>[] = [
  { type: 'heartbeat', from: 1, to: 2, term: 3, commit: 2 ** 40, context: 9 },
  { type: 'timeoutNow', from: 1, to: 2, term: 3 },
  { type: 'readIndex', from: 1, to: 2, term: 3, context: 2 ** 31 },
  { type: 'preVote', from: 1, to: 2, term: 4, lastIndex: 2 ** 33, lastTerm: 3, transfer: false },
  { type: 'vote', from: 1, to: 2, term: 4, lastIndex: 5, lastTerm: 3, transfer: true },
]

const ANSWERS: readonly Message<Frame>[] = [
  { type: 'heartbeatResponse', from: 2, to: 1, term: 3, context: 9 },
  { type: 'readIndexResponse', from: 2, to: 1, term: 3, index: 2 ** 35, context: 2 ** 31 },
  { type: 'appendResponse', from: 2, to: 1, term: 3, index: 7, rejected: true, hintIndex: 5, hintTerm: 2 },
  { type: 'preVoteResponse', from: 2, to: 1, term: 4, granted: true },
  { type: 'voteResponse', from: 2, to: 1, term: 5, granted: false },
]

const ANSWER_TYPES: ReadonlySet<string> = new Set(ANSWERS.map(answer => answer.type))
const RANDOM_ROUNDS = 60

/** The answers among `messages`; those to votes are of the replicas that were asked, and in the term they were asked. */
function answersTo(questions: readonly GroupMessage[], messages: readonly GroupMessage[]): GroupMessage[] {
  const asked = new Map<string, Message<Frame>>(questions.map(({ message }) => [message.type, message]))
  const answers: GroupMessage[] = []
  for (const answer of messages) {
    const { group, message } = answer
    if (!ANSWER_TYPES.has(message.type)) continue
    const vote = asked.get(message.type.replace('Response', ''))
    const isVote = message.type === 'voteResponse' || message.type === 'preVoteResponse'
    if (!isVote || vote === undefined) answers.push(answer)
    else answers.push({ group, message: { ...message, from: vote.to, to: vote.from, term: vote.term } })
  }
  return answers
}

export function describeTransport(name: string, open: () => Promise<TransportNetwork>): void {
  describe(`${name} keeps the contract of transports`, () => {
    const started = transportStarter()

    async function pair(): Promise<{
      network: TransportNetwork
      a: Transport
      b: Transport
      seenByA: RecordingHandler
      seenByB: RecordingHandler
    }> {
      const network = await open()
      const [a, seenByA] = await started(network, 1)
      const [b, seenByB] = await started(network, 2)
      await until('both are connected', () => seenByA.connects.includes(2) && seenByB.connects.includes(1))
      expect(a.isConnected(2) && b.isConnected(1)).toBe(true)
      return { network, a, b, seenByA, seenByB }
    }

    test('carries every message of a leader or candidate, and every answer, unchanged', async () => {
      const { a, b, seenByA, seenByB } = await pair()
      a.send(2, [...QUESTIONS.map(message => ({ group: 77, message })), append(77, joinedFrames(77, 6, 3))])
      await until('all questions arrive', () => seenByB.received.length === QUESTIONS.length + 1)
      for (const question of QUESTIONS) {
        const got = seenByB.received.find(({ message }) => message.message.type === question.type)
        expect(got).toEqual({ fromNode: 1, message: { group: 77, message: question } })
      }
      b.send(
        1,
        ANSWERS.map(message => ({ group: 77, message })),
      )
      await until('all answers arrive', () => seenByA.received.length === ANSWERS.length)
      for (const answer of ANSWERS) {
        const got = seenByA.received.find(({ message }) => message.message.type === answer.type)
        expect(got).toEqual({ fromNode: 2, message: { group: 77, message: answer } })
      }
    })

    test('carries every field of every type of message', async () => {
      const { a, b, seenByA, seenByB } = await pair()
      const seed = 1 + Math.floor(Math.random() * 2 ** 31)
      const random = new MessageRandom(seed)
      for (let round = 0; round < RANDOM_ROUNDS; round++) {
        // Votes wait for their answers; a group of its own keeps the rounds apart.
        const messages = EXCHANGED_TYPES.map(type => randomMessage(type, 1 + round, random))
        const questions = messages.filter(({ message }) => !ANSWER_TYPES.has(message.type))
        const answers = answersTo(questions, messages)
        a.send(2, questions)
        await until(`seed ${seed}: questions arrive`, () => seenByB.received.length === questions.length)
        b.send(1, answers)
        await until(`seed ${seed}: answers arrive`, () => seenByA.received.length === answers.length)
        expect(seenByB.byType(), `seed ${seed}`).toEqual(byType(questions))
        expect(seenByA.byType(), `seed ${seed}`).toEqual(byType(answers))
        seenByA.received.length = 0
        seenByB.received.length = 0
      }
    })

    test('carries frames byte for byte', async () => {
      const { a, seenByB } = await pair()
      const frames = [...joinedFrames(5, 6, 40, 1), ...joinedFrames(5, 46, 2, 700_000)]
      a.send(2, [append(5, frames)])
      await until('the append arrives', () => seenByB.received.length === 1)
      const { message } = seenByB.received[0]!.message
      if (message.type !== 'append') throw new Error(message.type)
      expect(message).toMatchObject({ from: 1, term: 3, prevIndex: 5, prevTerm: 3, commit: 2 })
      expect(message.entries.map(entry => entry.payload!.header.chain)).toEqual(frames.map(frame => frame.header.chain))
      for (const [i, entry] of message.entries.entries()) {
        expect(Buffer.compare(entry.payload!.bytes, frames[i]!.bytes)).toBe(0)
      }
    })

    test('keeps the order of appends and their number', async () => {
      const { a, seenByB } = await pair()
      const frames = joinedFrames(5, 6, 600, 5_000)
      for (const frame of frames) a.send(2, [append(5, [frame])])
      await until('all arrive', () => seenByB.received.length === frames.length)
      const indexes = seenByB.received.map(({ message }) => {
        if (message.message.type !== 'append') throw new Error(message.message.type)
        return message.message.prevIndex + 1
      })
      expect(indexes).toEqual(frames.map(frame => frame.header.index))
      expect(a.queuedBytes(2)).toBe(0)
    })

    test('asks a node what it has of a group', async () => {
      const { a, b } = await pair()
      expect(await a.describeGroup(2, 7)).toEqual({ state: 'founding', birth: 4_000_000_007 })
      expect(await b.describeGroup(1, 8)).toEqual({ state: 'founding', birth: 4_000_000_008 })
      await expect(a.describeGroup(3, 7)).rejects.toThrow('node 3')
      await b.close()
      await expect(a.describeGroup(2, 7)).rejects.toThrow()
    })

    test('reports messages to a node that is not there', async () => {
      const network = await open()
      const [a, seenByA] = await started(network, 1)
      expect(a.isConnected(2)).toBe(false)
      a.send(2, [{ group: 1, message: QUESTIONS[0]! }])
      await until('unreachable', () => seenByA.unreachables.includes(2))
      expect(seenByA.gones).toEqual([])
    })

    test('reports a peer whose process ended as gone, once, and its successor as connected', async () => {
      const { network, b, seenByA } = await pair()
      await b.close()
      await until('gone', () => seenByA.gones.length > 0)
      expect(seenByA.unreachables).toContain(2)
      const [again, seenByB] = await started(network, 2)
      await until('connected again', () => seenByA.connects.length === 2 && again.isConnected(1))
      expect(seenByA.gones).toEqual([2])
      again.send(1, [{ group: 1, message: { ...QUESTIONS[0]!, from: 2, to: 1 } as Message<Frame> }])
      await until('messages flow', () => seenByA.types().includes('heartbeat'))
      expect(seenByB.gones).toEqual([])
    })

    test('carries a snapshot: the offer, chunks in order and byte for byte, answers in order', async () => {
      const { a, seenByB } = await pair()
      const content = Uint8Array.from({ length: 3_000_000 }, (_, at) => (at * 31) >> 3)
      const offer = { ...snapshotOffer(content.length, crc32(content)), stateOnly: true }
      const events = new RecordingEvents()
      const call = a.offerSnapshot(2, offer, events)
      await until('the offer arrives', () => seenByB.snapshots.length === 1)
      const [got] = seenByB.snapshots
      expect(got).toMatchObject({ fromNode: 1, offer })
      const answers: SnapshotAnswer[] = [
        { term: 2 ** 35, received: 0, done: false },
        { term: 1, received: 2 ** 36, done: true },
        { term: 1, received: 5, done: false, refused: 'because' },
      ]
      for (const answer of answers) got!.answer(answer)
      for (let offset = 0; offset < content.length; offset += 262_144) {
        const data = content.slice(offset, offset + 262_144)
        call.send({ offset, data, crc: crc32(data), done: offset + data.length === content.length })
      }
      await until('all chunks arrive', () => got!.chunks.at(-1)?.done === true)
      await until('all answers arrive', () => events.answers.length === answers.length)
      expect(events.answers).toEqual(answers)
      expect(Buffer.concat(got!.chunks.map(chunk => chunk.data)).equals(content)).toBe(true)
      expect(got!.chunks.map(chunk => chunk.offset)).toEqual(got!.chunks.map((_, i) => i * 262_144))
      expect(got!.chunks.every(chunk => crc32(chunk.data) === chunk.crc)).toBe(true)
      expect([got!.ends, events.ends]).toEqual([0, []])
      call.close()
    })

    test('a snapshot call that its maker closes ends at the other side, once; the maker hears nothing', async () => {
      const { a, seenByB } = await pair()
      const events = new RecordingEvents()
      const call = a.offerSnapshot(2, snapshotOffer(1, 1), events)
      await until('the offer arrives', () => seenByB.snapshots.length === 1)
      const [got] = seenByB.snapshots
      call.close()
      call.close()
      call.send({ offset: 0, data: new Uint8Array(1), crc: 0, done: true })
      await until('it ends', () => got!.ends > 0)
      got!.answer({ term: 1, received: 1, done: true })
      // A second call goes the same way after it.
      const second = a.offerSnapshot(2, snapshotOffer(2, 2), new RecordingEvents())
      await until('another offer arrives', () => seenByB.snapshots.length === 2)
      expect([got!.ends, got!.chunks, events.answers, events.ends]).toEqual([1, [], [], []])
      second.close()
    })

    test('a snapshot call ends at both sides, once, when either process ends', async () => {
      for (const ending of [1, 2]) {
        const { a, b, seenByB } = await pair()
        const events = new RecordingEvents()
        a.offerSnapshot(2, snapshotOffer(1, 1), events)
        await until('the offer arrives', () => seenByB.snapshots.length === 1)
        await (ending === 1 ? a : b).close()
        await until('both hear of it', () => events.ends.length > 0 && seenByB.snapshots[0]!.ends > 0)
        await (ending === 1 ? b : a).close()
        expect([events.ends.length, seenByB.snapshots[0]!.ends]).toEqual([1, 1])
      }
    })

    test('a snapshot for a node that is not there ends its call', async () => {
      const network = await open()
      const [a] = await started(network, 1)
      const events = new RecordingEvents()
      a.offerSnapshot(2, snapshotOffer(1, 1), events)
      await until('it ends', () => events.ends.length > 0)
      expect(events.answers).toEqual([])
    })
  })
}
