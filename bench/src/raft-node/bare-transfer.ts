/**
 * What a connection carries without Raft: messages of one size to a process that only reads them, over a plain socket
 * and over a bidi stream of grpc-js, with its default options but for the size of messages.
 */
import { connect } from 'node:net'
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js'

const asIs = (bytes: Buffer): Buffer => bytes

const SINK: MethodDefinition<Buffer, Buffer> = {
  path: '/bench.Bare/Sink',
  requestStream: true,
  responseStream: true,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
}

export const SINK_SERVICE: { readonly sink: MethodDefinition<Buffer, Buffer> } = { sink: SINK }

interface Stream {
  write(message: Buffer): boolean
  once(event: 'drain', listener: () => void): unknown
  end(): void
}

/** Writes as fast as the stream takes it, and stops where it would buffer. */
async function pour(stream: Stream, message: Buffer, messages: number): Promise<void> {
  for (let sent = 0; sent < messages; sent++) {
    if (!stream.write(message)) await new Promise<void>(resolve => stream.once('drain', resolve))
  }
  stream.end()
}

/** @returns milliseconds until the other end has said that it has everything */
async function timed(bytes: number, run: () => Promise<string>): Promise<number> {
  const startedMs = performance.now()
  const read = Number(await run())
  if (read !== bytes) throw new Error(`${read} of ${bytes} bytes arrived`)
  return performance.now() - startedMs
}

export function overTcp(port: number, messageBytes: number, messages: number): Promise<number> {
  return timed(messageBytes * messages, async () => {
    const socket = connect({ port, host: '127.0.0.1' })
    let answer = ''
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text
    })
    const ended = new Promise<void>((resolve, reject) => socket.once('end', resolve).once('error', reject))
    await pour(socket, Buffer.alloc(messageBytes, 97), messages)
    await ended
    return answer
  })
}

export function overGrpc(port: number, messageBytes: number, messages: number): Promise<number> {
  return timed(messageBytes * messages, async () => {
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      'grpc.max_send_message_length': -1,
    })
    const call = client.makeBidiStreamRequest(SINK.path, asIs, asIs)
    const answer = new Promise<string>((resolve, reject) => {
      call.on('data', (bytes: Buffer) => resolve(bytes.toString()))
      call.on('error', reject)
    })
    await pour(call, Buffer.alloc(messageBytes, 97), messages)
    const read = await answer
    client.close()
    return read
  })
}
