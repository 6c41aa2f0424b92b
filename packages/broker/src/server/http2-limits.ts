/** Every limit of Node's HTTP/2 server, set by name: its defaults are for web pages, not for a few long streams. */
import type { ServerHttp2Session, ServerOptions } from 'node:http2'

/** Bytes of a request stream that may be on the way: a few record sets. */
const STREAM_WINDOW_BYTES = 4 * 1_048_576
/** The same for all streams of a connection together. */
const SESSION_WINDOW_BYTES = 16 * 1_048_576

export function http2Options(streamsPerConnectionMax: number): ServerOptions {
  return {
    maxDeflateDynamicTableSize: 4_096,
    maxSettings: 32,
    // Megabytes. What a session may hold for all its streams before new ones are refused.
    maxSessionMemory: 64,
    maxHeaderListPairs: 128,
    maxOutstandingPings: 10,
    maxSendHeaderBlockLength: 65_536,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    peerMaxConcurrentStreams: streamsPerConnectionMax,
    unknownProtocolTimeout: 10_000,
    settings: {
      maxConcurrentStreams: streamsPerConnectionMax,
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxHeaderListSize: 32_768,
      maxFrameSize: 65_536,
      enablePush: false,
    },
  }
}

/** What has to be said per session: the window of the whole connection starts at 64 KiB otherwise. */
export function tuneSession(session: ServerHttp2Session): void {
  session.setLocalWindowSize(SESSION_WINDOW_BYTES)
}
