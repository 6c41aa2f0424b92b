/** `FetchState`: the question, its answer, and the call. Rare, so by the generated code. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type Client, Metadata } from '@grpc/grpc-js'
import { FetchStateRequestSchema, FetchStateResponseSchema, FetchStateStatus as WireStatus } from '@millrace/proto'
import type { StateAnswer, StateRequest } from '../state-calls.ts'
import { PEER_METHODS } from './peer-service.ts'

const ASK_MS = 1_000

const STATUSES: Readonly<Record<StateAnswer, WireStatus>> = {
  coming: WireStatus.COMING,
  behind: WireStatus.BEHIND,
  absent: WireStatus.ABSENT,
}

/** @throws Error for bytes that are no question */
export function decodeStateRequest(bytes: Uint8Array): StateRequest {
  const { group, from, to, least } = fromBinary(FetchStateRequestSchema, bytes)
  return { group: safe(group), from, to, least: safe(least) }
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
  const { path, requestSerialize, responseDeserialize } = PEER_METHODS.fetchState
  const question = create(FetchStateRequestSchema, { group: BigInt(group), from, to, least: BigInt(least) })
  const bytes = Buffer.concat([hello, toBinary(FetchStateRequestSchema, question)])
  const options = { deadline: Date.now() + ASK_MS }
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, response?: Buffer): void => {
      if (error !== null || response === undefined) {
        reject(error ?? new Error('no answer'))
        return
      }
      try {
        resolve(decodeStateAnswer(response))
      } catch (cause) {
        reject(cause)
      }
    }
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, bytes, new Metadata(), options, done)
  })
}

function safe(value: bigint): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new RangeError(`${value} is no index`)
  return number
}
