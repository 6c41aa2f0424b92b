/**
 * The peer service as grpc-js wants it: paths from the generated descriptors, messages as buffers. Encoding is done by
 * the codecs beside this file, because serialising once for all followers is not a thing that grpc-js can be told.
 */
import type { ChannelOptions, MethodDefinition } from '@grpc/grpc-js'
import { PeerService } from '@millrace/proto'
import { clientWindow } from './flow-control.ts'

const asIs = (bytes: Buffer): Buffer => bytes

function definition(method: { readonly name: string; readonly methodKind: string }): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/${PeerService.typeName}/${method.name}`,
    requestStream: method.methodKind === 'bidi_streaming' || method.methodKind === 'client_streaming',
    responseStream: method.methodKind === 'bidi_streaming' || method.methodKind === 'server_streaming',
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  }
}

/** What this version serves. */
export const PEER_METHODS: {
  readonly requestVote: MethodDefinition<Buffer, Buffer>
  readonly appendEntries: MethodDefinition<Buffer, Buffer>
  readonly heartbeat: MethodDefinition<Buffer, Buffer>
  readonly installSnapshot: MethodDefinition<Buffer, Buffer>
  readonly describePresence: MethodDefinition<Buffer, Buffer>
  readonly fetchFrames: MethodDefinition<Buffer, Buffer>
  readonly fetchState: MethodDefinition<Buffer, Buffer>
} = {
  requestVote: definition(PeerService.method.requestVote),
  appendEntries: definition(PeerService.method.appendEntries),
  heartbeat: definition(PeerService.method.heartbeat),
  installSnapshot: definition(PeerService.method.installSnapshot),
  describePresence: definition(PeerService.method.describePresence),
  fetchFrames: definition(PeerService.method.fetchFrames),
  fetchState: definition(PeerService.method.fetchState),
}

/** Largest message between peers: a full batch, or one frame of the largest size on its own. */
export const PEER_MESSAGE_BYTES_MAX: number = 16 * 1024 * 1024

const LIMITS: ChannelOptions = {
  'grpc.max_receive_message_length': PEER_MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': PEER_MESSAGE_BYTES_MAX,
  'grpc.enable_channelz': 0,
}

export const SERVER_OPTIONS: ChannelOptions = LIMITS

/**
 * Of a connection on which nothing arrives any more, although nobody closed it: after that time the other side is asked,
 * and given the same time to answer. Without it, a connection that carries nothing in one direction would never end.
 */
export const KEEPALIVE_MS = 3_000

/** For the long-lived streams. */
export function keepalive(ms: number = KEEPALIVE_MS): ChannelOptions {
  return { 'grpc.keepalive_time_ms': ms, 'grpc.keepalive_timeout_ms': ms, 'grpc.keepalive_permit_without_calls': 1 }
}

/**
 * What grpc-js keeps of a call to repeat it elsewhere. It calls back for a message that fits at once, for others when the
 * socket has taken them, and that has to be known of appends.
 */
const REPEATED_BYTES_MAX = 16 * 1024

/** A connection per client: heartbeats and votes have a socket of their own, which no append can fill. */
export const CLIENT_OPTIONS: ChannelOptions = {
  ...LIMITS,
  ...clientWindow(),
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.per_rpc_retry_buffer_size': REPEATED_BYTES_MAX,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1_000,
}
