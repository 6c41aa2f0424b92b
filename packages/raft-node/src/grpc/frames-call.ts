/** `FetchFrames`: the question, its answer, and the call. Rare, so by the generated code. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Client } from '@grpc/grpc-js'
import { FetchFramesRequestSchema, FetchFramesResponseSchema, FetchFramesStatus as WireStatus } from '@millrace/proto'
import type { FrameAnswer, FrameRequest } from '../frame-calls.ts'
import { readFrames } from './append-codec.ts'
import { callPeer } from './peer-call.ts'
import { PEER_METHODS } from './peer-service.ts'
import { safeNumber } from './wire.ts'

/** For one piece, the wait for the disk of the answering node included. */
const FETCH_MS = 5_000

const STATUSES: Readonly<Record<FrameAnswer['status'], WireStatus>> = {
  frames: WireStatus.FRAMES,
  busy: WireStatus.BUSY,
  absent: WireStatus.ABSENT,
  damaged: WireStatus.DAMAGED,
  differs: WireStatus.DIFFERS,
}

/** @throws Error for bytes that are no question */
export function decodeFrameRequest(bytes: Uint8Array): FrameRequest {
  const { group, from, to, first, last, lastTerm, lastChain, bytesMax } = fromBinary(FetchFramesRequestSchema, bytes)
  const end = { index: safeNumber(last), term: safeNumber(lastTerm), chain: lastChain }
  return { group: safeNumber(group), from, to, first: safeNumber(first), last: end, bytesMax }
}

export function encodeFrameAnswer(answer: FrameAnswer): Buffer {
  const frames = answer.status === 'frames' ? Buffer.concat(answer.frames.map(({ bytes }) => bytes)) : undefined
  const response = create(FetchFramesResponseSchema, { status: STATUSES[answer.status], ...(frames && { frames }) })
  return Buffer.from(toBinary(FetchFramesResponseSchema, response))
}

/** A status that this version does not know brings no frames. @throws Error */
function decodeFrameAnswer(bytes: Uint8Array): FrameAnswer {
  const { status, frames } = fromBinary(FetchFramesResponseSchema, bytes)
  if (status === WireStatus.FRAMES) return { status: 'frames', frames: readFrames(frames) }
  if (status === WireStatus.BUSY) return { status: 'busy' }
  if (status === WireStatus.DAMAGED) return { status: 'damaged' }
  return { status: status === WireStatus.DIFFERS ? 'differs' : 'absent' }
}

/** @param hello of this node to that peer */
export function askFrames(client: Client, hello: Buffer, request: FrameRequest): Promise<FrameAnswer> {
  const { group, from, to, first, last, bytesMax } = request
  const question = create(FetchFramesRequestSchema, {
    ...{ group: BigInt(group), from, to, first: BigInt(first), bytesMax },
    ...{ last: BigInt(last.index), lastTerm: BigInt(last.term), lastChain: last.chain },
  })
  const asked = { hello, question: toBinary(FetchFramesRequestSchema, question) }
  return callPeer(client, PEER_METHODS.fetchFrames, asked, FETCH_MS, decodeFrameAnswer)
}
