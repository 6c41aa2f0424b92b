/**
 * Votes travel as unary calls, the core knows one-way messages: this file is where the two meet.
 *
 * The asking side sends one call per peer and turn. The answering side keeps each call open until every vote in it has
 * been answered, or for a while, since a voter that hears from its leader does not answer at all.
 */
import type { sendUnaryData } from '@grpc/grpc-js'
import type { GroupMessage } from '../transport.ts'
import { decodeVoteResponses, encodeVoteResponses, encodeVotes } from './control-codec.ts'
import { callPeer } from './peer-call.ts'
import { PEER_METHODS } from './peer-service.ts'
import type { PeerStream } from './peer-stream.ts'

/** Calls to one peer that are not answered; more are not made. */
const CALLS_MAX = 64
const VOTES_PER_CALL_MAX = 1_024

/** The asking side towards one peer. */
export class VoteCaller {
  readonly #deadlineMs: number
  readonly #receive: (messages: readonly GroupMessage[]) => void
  #open = 0

  constructor(deadlineMs: number, receive: (messages: readonly GroupMessage[]) => void) {
    this.#deadlineMs = deadlineMs
    this.#receive = receive
  }

  /** @returns false when there were too many calls, and these votes were not asked for */
  ask(stream: Pick<PeerStream<never>, 'client'>, hello: Buffer, votes: readonly GroupMessage[]): boolean {
    for (let at = 0; at < votes.length; at += VOTES_PER_CALL_MAX) {
      if (this.#open >= CALLS_MAX) return false
      this.#call(stream, { hello, question: encodeVotes(votes.slice(at, at + VOTES_PER_CALL_MAX)) })
    }
    return true
  }

  #call({ client }: Pick<PeerStream<never>, 'client'>, asked: { hello: Buffer; question: Uint8Array }): void {
    this.#open += 1
    const answered = callPeer(client, PEER_METHODS.requestVote, asked, this.#deadlineMs, decodeVoteResponses)
    answered.then(
      messages => {
        this.#open -= 1
        this.#receive(messages)
      },
      // A call that failed is a vote that was not given: the candidate asks again.
      () => {
        this.#open -= 1
      },
    )
  }
}

interface PendingCall {
  readonly fromNode: number
  /** Keys of the votes without an answer. */
  readonly open: Map<string, number>
  readonly answers: GroupMessage[]
  readonly welcome: Buffer
  readonly answer: sendUnaryData<Buffer>
  readonly timer: NodeJS.Timeout
}

/** The answering side for all peers. */
export class VoteAnswers {
  readonly #windowMs: number
  readonly #calls = new Set<PendingCall>()

  /** `windowMs`: how long a call waits for answers that may never come. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  expect(fromNode: number, votes: readonly GroupMessage[], welcome: Buffer, answer: sendUnaryData<Buffer>): void {
    const open = new Map<string, number>()
    for (const { group, message } of votes) {
      if (message.type !== 'vote' && message.type !== 'preVote') continue
      open.set(voteKey(group, message.type, message.to, message.from), message.term)
    }
    const timer = setTimeout(() => this.#finish(call), this.#windowMs)
    const call: PendingCall = { fromNode, open, answers: [], welcome, answer, timer }
    this.#calls.add(call)
  }

  /** Answers of this node's replicas: each goes into the oldest call that waits for it, or nowhere. */
  take(toNode: number, messages: readonly GroupMessage[]): void {
    for (const answer of messages) this.#take(toNode, answer)
    for (const call of [...this.#calls]) if (call.open.size === 0) this.#finish(call)
  }

  close(): void {
    for (const call of [...this.#calls]) this.#finish(call)
  }

  #take(toNode: number, answer: GroupMessage): void {
    const { group, message } = answer
    if (message.type !== 'voteResponse' && message.type !== 'preVoteResponse') return
    const asked = message.type === 'voteResponse' ? 'vote' : 'preVote'
    const key = voteKey(group, asked, message.from, message.to)
    for (const call of this.#calls) {
      const term = call.fromNode === toNode ? call.open.get(key) : undefined
      if (term === undefined || (message.granted && message.term !== term)) continue
      call.open.delete(key)
      call.answers.push(answer)
      return
    }
  }

  #finish(call: PendingCall): void {
    clearTimeout(call.timer)
    this.#calls.delete(call)
    call.answer(null, Buffer.concat([call.welcome, encodeVoteResponses(call.answers)]))
  }
}

function voteKey(group: number, type: 'vote' | 'preVote', voter: number, candidate: number): string {
  return `${group}/${type}/${voter}/${candidate}`
}
