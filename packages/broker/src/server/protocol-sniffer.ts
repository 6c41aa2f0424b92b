/**
 * Tells HTTP/2 with prior knowledge from HTTP/1.1 by the first bytes of a connection. An HTTP/2 client begins with a
 * fixed preface; no HTTP/1.1 method begins like it beyond its first letters.
 */
import type { Socket } from 'node:net'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export type Protocol = 'http1' | 'http2'

/**
 * Waits for enough bytes, puts them back and says what they are. The socket is paused then, with everything unread.
 *
 * @param done not called when the connection ends, fails or says nothing for `timeoutMs`; the socket is destroyed then
 */
export function sniffProtocol(socket: Socket, timeoutMs: number, done: (protocol: Protocol) => void): void {
  let seen: Buffer = Buffer.alloc(0)
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  const stop = () => {
    clearTimeout(timer)
    socket.off('data', onData)
    socket.off('end', onEnd)
    socket.off('close', stop)
  }
  const onEnd = () => {
    stop()
    socket.destroy()
  }
  const onData = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const compared = Math.min(seen.length, PREFACE.length)
    const http2 = seen.subarray(0, compared).equals(PREFACE.subarray(0, compared))
    // "P" alone may still become POST; what matches all the way so far needs the rest.
    if (http2 && seen.length < PREFACE.length) return
    stop()
    socket.pause()
    socket.unshift(seen)
    done(http2 ? 'http2' : 'http1')
  }
  socket.on('data', onData)
  socket.once('end', onEnd)
  socket.once('close', stop)
}
