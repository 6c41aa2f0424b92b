/** Protocol versions at the beginning of a stream. */
import { create } from '@bufbuild/protobuf'
import { type ClientHello, type ServerHello, ServerHelloSchema } from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import { type BrokerContext, PROTOCOL_MAX, PROTOCOL_MIN } from '../broker-context.ts'

/** @throws MillraceError UNSUPPORTED where client and node share no version, naming both ranges */
export function checkHello(hello: ClientHello | undefined): void {
  if (hello === undefined || (hello.protocolMin === 0 && hello.protocolMax === 0)) return
  if (hello.protocolMin <= PROTOCOL_MAX && hello.protocolMax >= PROTOCOL_MIN) return
  throw new MillraceError(
    'UNSUPPORTED',
    `protocol ${hello.protocolMin} to ${hello.protocolMax}: this node speaks ${PROTOCOL_MIN} to ${PROTOCOL_MAX}`,
    { details: { protocolMin: PROTOCOL_MIN, protocolMax: PROTOCOL_MAX } },
  )
}

/** The node's half of the handshake. */
export function serverHello(context: BrokerContext): ServerHello {
  return create(ServerHelloSchema, {
    protocol: PROTOCOL_MAX,
    node: context.nodeId,
    clusterId: context.clusterId,
    inflightBytesMax: BigInt(context.settings.limits.streamInflightBytesMax),
  })
}
