/** `DescribePresence`: the question, its answer, and the call. Rare, so by the generated code. */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Client } from '@grpc/grpc-js'
import {
  DescribePresenceRequestSchema,
  DescribePresenceResponseSchema,
  GroupPresence as WirePresence,
} from '@millrace/proto'
import type { GroupPresence } from '../transport.ts'
import { callPeer } from './peer-call.ts'
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
  const message = create(DescribePresenceRequestSchema, { group: BigInt(group) })
  const asked = { hello, question: toBinary(DescribePresenceRequestSchema, message) }
  return callPeer(client, PEER_METHODS.describePresence, asked, ASK_MS, decodePresence)
}
