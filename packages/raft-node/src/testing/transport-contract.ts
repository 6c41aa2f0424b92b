/** What every transport does, as one suite: called with a way to make transports of one network. */
import { type Entry, type Message, NONE } from '@millrace/raft-core'
import { type Frame, FrameKind, sealFrame } from '@millrace/record'
import { afterEach, describe, expect, test } from 'vitest'
import { entryOfFrame, plainBody } from '../entry-frame.ts'
import type { GroupMessage, Transport, TransportHandler } from '../transport.ts'
import { EXCHANGED_TYPES, MessageRandom, randomMessage } from './random-messages.ts'
import { until } from './until.ts'

export interface TransportNetwork {
  /** A transport of `node`; a second one of the same node after `close` is a new process. */
  transport(node: number): Promise<Transport>
}

/** Writes down what a transport reports. */
export class RecordingHandler implements TransportHandler {
  readonly received: { fromNode: number; message: GroupMessage }[] = []
  readonly unreachables: number[] = []
  readonly gones: number[] = []
  readonly connects: number[] = []

  receive(fromNode: number, messages: readonly GroupMessage[]): void {
    for (const message of messages) this.received.push({ fromNode, message })
  }

  unreachable(node: number): void {
    this.unreachables.push(node)
  }

  gone(node: number): void {
    this.gones.push(node)
  }

  connected(node: number): void {
    this.connects.push(node)
  }

  /** The messages by their type, of which each came once. */
  byType(): Map<string, unknown> {
    return byType(this.received.map(({ message }) => message))
  }

  types(): string[] {
    return this.received.map(({ message }) => message.message.type)
  }
}

/** `count` frames from `first` on, joined by their chains. */
export function joinedFrames(group: number, first: number, count: number, payloadBytes = 10): Frame[] {
  const frames: Frame[] = []
  let chain = 7
  for (let i = 0; i < count; i++) {
    const body = plainBody(FrameKind.command, new Uint8Array(payloadBytes).fill(i))
    const at = { group, index: first + i, term: 3, baseOffset: 0, timestamp: 1_000, previousChain: chain }
    const frame = sealFrame(body, at)
    chain = frame.header.chain
    frames.push(frame)
  }
  return frames
}

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

/** By type. An append does not travel with its addressee; its frames are compared by their bytes. */
function byType(messages: readonly GroupMessage[]): Map<string, unknown> {
  const byType = new Map<string, unknown>()
  for (const whole of messages) {
    const { message } = whole
    const same =
      message.type === 'append' ? { ...message, to: NONE, entries: message.entries.map(comparable) } : message
    byType.set(message.type, { ...whole, message: same })
  }
  return byType
}

function comparable(entry: Entry<Frame>): unknown {
  return { ...entry, payload: Buffer.from(entry.payload!.bytes).toString('base64') }
}

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
    const closing: Transport[] = []
    afterEach(async () => {
      for (const transport of closing.splice(0)) await transport.close()
    })

    async function started(network: TransportNetwork, node: number): Promise<[Transport, RecordingHandler]> {
      const transport = await network.transport(node)
      const handler = new RecordingHandler()
      closing.push(transport)
      await transport.start(handler)
      return [transport, handler]
    }

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
  })
}
