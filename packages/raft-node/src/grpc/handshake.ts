/**
 * The first message on every stream, in both directions: who calls whom, of which cluster, in which protocol. A call
 * that is not meant for this node of this cluster is refused before anything else on it is read.
 */
import { WireReader, WireWriter } from './wire.ts'

/** Versions of the peer protocol that this software speaks. */
export const PROTOCOL_MIN = 1
export const PROTOCOL_MAX = 1

/** Field of hello and welcome in each message. */
const GREETING = 1

export interface PeerIdentity {
  readonly clusterId: string
  readonly nodeId: number
  /** Random per start of the process; a safe integer. */
  readonly incarnation: number
}

export interface PeerHello {
  readonly clusterId: string
  readonly fromNode: number
  readonly toNode: number
  readonly incarnation: number
  readonly protocolMin: number
  readonly protocolMax: number
}

export interface PeerWelcome {
  readonly incarnation: number
  readonly protocol: number
}

/** The hello of this node to `toNode`, as field `hello` of any request. */
export function encodeHello(self: PeerIdentity, toNode: number): Buffer {
  const clusterId = Buffer.from(self.clusterId, 'utf8')
  const hello = new WireWriter(clusterId.length + 48)
  hello.header(1, clusterId.length)
  hello.raw(clusterId)
  hello.uint(2, self.nodeId)
  hello.uint(3, toNode)
  hello.fixed64(4, self.incarnation)
  hello.uint(5, PROTOCOL_MIN)
  hello.uint(6, PROTOCOL_MAX)
  const request = new WireWriter(clusterId.length + 64)
  request.message(GREETING, hello)
  return request.finish()
}

/** The hello in a request, where there is one. @throws WireError */
export function decodeHello(bytes: Uint8Array): PeerHello | undefined {
  const request = new WireReader(bytes)
  while (request.next()) {
    if (request.field !== GREETING) continue
    const hello = { clusterId: '', fromNode: 0, toNode: 0, incarnation: 0, protocolMin: 0, protocolMax: 0 }
    const reader = request.message()
    while (reader.next()) {
      if (reader.field === 1) hello.clusterId = Buffer.from(reader.bytes()).toString('utf8')
      else if (reader.field === 2) hello.fromNode = reader.uint()
      else if (reader.field === 3) hello.toNode = reader.uint()
      else if (reader.field === 4) hello.incarnation = reader.fixed64()
      else if (reader.field === 5) hello.protocolMin = reader.uint()
      else if (reader.field === 6) hello.protocolMax = reader.uint()
    }
    return hello
  }
  return undefined
}

/** Why a hello is not for this node; undefined where it is. */
export function refuseHello(self: PeerIdentity, hello: PeerHello | undefined): string | undefined {
  if (hello === undefined) return 'the call does not begin with a hello'
  if (hello.clusterId !== self.clusterId) {
    return `node ${hello.fromNode} belongs to cluster ${hello.clusterId}, this is cluster ${self.clusterId}`
  }
  if (hello.toNode !== self.nodeId) {
    return `node ${hello.fromNode} looks for node ${hello.toNode} here, this is node ${self.nodeId}; check the peer addresses`
  }
  if (hello.fromNode === self.nodeId) return `node ${hello.fromNode} has the same id as this node`
  if (hello.protocolMin > PROTOCOL_MAX || hello.protocolMax < PROTOCOL_MIN) {
    return `node ${hello.fromNode} speaks peer protocol ${hello.protocolMin}–${hello.protocolMax}, this node ${PROTOCOL_MIN}–${PROTOCOL_MAX}`
  }
  return undefined
}

/** The answer to an accepted hello, as field `welcome` of any response. */
export function encodeWelcome(self: PeerIdentity, hello: PeerHello): Buffer {
  const welcome = new WireWriter(16)
  welcome.fixed64(1, self.incarnation)
  welcome.uint(2, Math.min(PROTOCOL_MAX, hello.protocolMax))
  const response = new WireWriter(24)
  response.message(GREETING, welcome)
  return response.finish()
}

/** The welcome in a response, where there is one. @throws WireError */
export function decodeWelcome(bytes: Uint8Array): PeerWelcome | undefined {
  const response = new WireReader(bytes)
  while (response.next()) {
    if (response.field !== GREETING) continue
    const welcome = { incarnation: 0, protocol: 0 }
    const reader = response.message()
    while (reader.next()) {
      if (reader.field === 1) welcome.incarnation = reader.fixed64()
      else if (reader.field === 2) welcome.protocol = reader.uint()
    }
    return welcome
  }
  return undefined
}
