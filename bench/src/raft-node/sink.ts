/** The other end of bare connections, as a process of its own: reads everything, and says how much when that is all. */
import { createServer } from 'node:net'
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import { SINK_SERVICE } from './bare-transfer.ts'
import type { SinkPorts } from './messages.ts'

const tcp = createServer({ allowHalfOpen: true }, socket => {
  let bytes = 0
  socket.on('data', chunk => {
    bytes += chunk.length
  })
  socket.on('end', () => socket.end(String(bytes)))
})
await new Promise<void>(resolve => tcp.listen(0, '127.0.0.1', resolve))

const grpc = new Server({ 'grpc.max_receive_message_length': -1 })
grpc.addService(SINK_SERVICE, {
  sink: (call: ServerDuplexStream<Buffer, Buffer>) => {
    let bytes = 0
    call.on('data', (message: Buffer) => {
      bytes += message.length
    })
    call.on('end', () => {
      call.write(Buffer.from(String(bytes)))
      call.end()
    })
  },
})
const grpcPort = await new Promise<number>((resolve, reject) => {
  grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
    error === null ? resolve(port) : reject(error),
  )
})
process.on('disconnect', () => process.exit(0))
const { port } = tcp.address() as { port: number }
process.send?.({ type: 'ports', tcp: port, grpc: grpcPort } satisfies SinkPorts)
