/** `DescribePresence`: the question, its answer, and the call. Rare, so by the generated code. */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type Client, Metadata } from '@grpc/grpc-js'
import {
  DescribePresenceRequestSchema,
  DescribePresenceResponseSchema,
  GroupPresence as WirePresence,
} from '@millrace/proto'
import type { GroupPresence } from '../transport.ts'
import { PEER_METHODS } from './peer-service.ts'

const ASK_MS = 1_000

const STATES: Readonly<Record<GroupPresence['state'], WirePresence>> = {
  absent: WirePresence.ABSENT,
  founding: WirePresence.FOUNDING,
  born: WirePresence.BORN,
  live: WirePresence.LIVE,
}

/** @throws Error for bytes that are no question */
export function decodeQuestion(bytes: Uint8Array): number {
  return Number(fromBinary(DescribePresenceRequestSchema, bytes).group)
}

export function encodePresence({ state, birth }: GroupPresence): Buffer {
  const message = create(DescribePresenceResponseSchema, { presence: STATES[state], birth })
  return Buffer.from(toBinary(DescribePresenceResponseSchema, message))
}

/** A state that this version does not know is not one in which a group could be founded. */
function decodePresence(bytes: Uint8Array): GroupPresence {
  const { presence, birth } = fromBinary(DescribePresenceResponseSchema, bytes)
  const known = Object.entries(STATES).find(([, value]) => value === presence)
  return { state: known === undefined ? 'live' : (known[0] as GroupPresence['state']), birth }
}

/** @param hello of this node to that peer */
export function askPresence(client: Client, hello: Buffer, group: number): Promise<GroupPresence> {
  const { path, requestSerialize, responseDeserialize } = PEER_METHODS.describePresence
  const question = toBinary(
    DescribePresenceRequestSchema,
    create(DescribePresenceRequestSchema, { group: BigInt(group) }),
  )
  const request = Buffer.concat([hello, question])
  const options = { deadline: Date.now() + ASK_MS }
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, response?: Buffer): void => {
      if (error !== null || response === undefined) reject(error ?? new Error('no answer'))
      else resolve(decodePresence(response))
    }
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), options, done)
  })
}
