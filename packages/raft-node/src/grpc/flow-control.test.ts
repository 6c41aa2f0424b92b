import http2 from 'node:http2'
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { FLOW_CONTROL_WINDOW_BYTES, widenServerWindow } from './flow-control.ts'
import { CLIENT_OPTIONS } from './peer-service.ts'

const HTTP2_DEFAULT_BYTES = 65_535

interface Windows {
  readonly stream: number
  readonly connection: number
}

/** The windows that a server gives to who connects to it. */
async function windowsOf(server: Server): Promise<Windows> {
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  const session = http2.connect(`http://127.0.0.1:${port}`)
  const settings = await new Promise<http2.Settings>(resolve => session.once('remoteSettings', resolve))
  // The window of the connection comes as an update behind the settings: one round trip later it is here.
  await new Promise(resolve => session.ping(resolve))
  const connection = session.state.remoteWindowSize ?? 0
  session.destroy()
  server.forceShutdown()
  return { stream: settings.initialWindowSize ?? 0, connection }
}

test('a widened server gives every stream and connection the whole window', async () => {
  const server = new Server()
  widenServerWindow(server)
  expect(await windowsOf(server)).toEqual({ stream: FLOW_CONTROL_WINDOW_BYTES, connection: FLOW_CONTROL_WINDOW_BYTES })
})

test('a client gives the whole window, too', async () => {
  const server = http2.createServer()
  const seen = new Promise<Windows>(resolve => {
    server.on('session', session => {
      session.once('remoteSettings', ({ initialWindowSize = 0 }) => {
        session.ping(() => resolve({ stream: initialWindowSize, connection: session.state.remoteWindowSize ?? 0 }))
      })
    })
  })
  const port = await new Promise<number>(resolve =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  )
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), CLIENT_OPTIONS)
  client.waitForReady(Date.now() + 10_000, () => undefined)
  expect(await seen).toEqual({ stream: FLOW_CONTROL_WINDOW_BYTES, connection: FLOW_CONTROL_WINDOW_BYTES })
  client.close()
  server.close()
})

test('the work-around is still needed: grpc-js gives its servers the default of HTTP/2 whatever its options say', async () => {
  const server = new Server({ 'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES })
  expect(await windowsOf(server)).toEqual({ stream: HTTP2_DEFAULT_BYTES, connection: HTTP2_DEFAULT_BYTES })
})
