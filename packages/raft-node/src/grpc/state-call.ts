/** `FetchState`: the question, its answer, and the call. Rare, so by the generated code. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Client } from '@grpc/grpc-js'
import { FetchStateRequestSchema, FetchStateResponseSchema, FetchStateStatus as WireStatus } from '@millrace/proto'
import type { StateAnswer, StateRequest } from '../state-calls.ts'
import { callPeer } from './peer-call.ts'
import { PEER_METHODS } from './peer-service.ts'
import { safeNumber } from './wire.ts'

const ASK_MS = 1_000

const STATUSES: Readonly<Record<StateAnswer, WireStatus>> = {
  coming: WireStatus.COMING,
  behind: WireStatus.BEHIND,
  absent: WireStatus.ABSENT,
}

/** @throws Error for bytes that are no question */
export function decodeStateRequest(bytes: Uint8Array): StateRequest {
  const { group, from, to, least } = fromBinary(FetchStateRequestSchema, bytes)
  return { group: safeNumber(group), from, to, least: safeNumber(least) }
}

export function encodeStateAnswer(answer: StateAnswer): Buffer {
  return Buffer.from(toBinary(FetchStateResponseSchema, create(FetchStateResponseSchema, { status: STATUSES[answer] })))
}

/** A status that this version does not know brings no state. */
function decodeStateAnswer(bytes: Uint8Array): StateAnswer {
  const { status } = fromBinary(FetchStateResponseSchema, bytes)
  if (status === WireStatus.COMING) return 'coming'
  return status === WireStatus.BEHIND ? 'behind' : 'absent'
}

/** @param hello of this node to that peer */
export function askState(
  client: Client,
  hello: Buffer,
  { group, from, to, least }: StateRequest,
): Promise<StateAnswer> {
  const question = create(FetchStateRequestSchema, { group: BigInt(group), from, to, least: BigInt(least) })
  const asked = { hello, question: toBinary(FetchStateRequestSchema, question) }
  return callPeer(client, PEER_METHODS.fetchState, asked, ASK_MS, decodeStateAnswer)
}
