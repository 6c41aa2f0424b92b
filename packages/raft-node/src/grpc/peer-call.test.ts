import {
  Client,
  credentials,
  type handleUnaryCall,
  type MethodDefinition,
  Server,
  ServerCredentials,
  status,
} from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { callPeer } from './peer-call.ts'
import { CLIENT_OPTIONS } from './peer-service.ts'

const asIs = (bytes: Buffer): Buffer => bytes
const ASK: MethodDefinition<Buffer, Buffer> = {
  ...{ path: '/test.Test/Ask', requestStream: false, responseStream: false },
  ...{ requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs },
}
const HELLO = Buffer.from('hello ')
const text = (answer: Buffer): string => answer.toString()

let server: Server
let client: Client

afterEach(() => {
  client.close()
  server.forceShutdown()
})

async function serve(ask: handleUnaryCall<Buffer, Buffer>): Promise<void> {
  server = new Server()
  server.addService({ ask: ASK }, { ask })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), CLIENT_OPTIONS)
}

test('a question goes behind the hello and is answered, as the first of its connection and larger than what is kept to repeat it', async () => {
  await serve((call, answer) => answer(null, call.request))
  const question = Buffer.alloc(200_000, 'q')
  const answer = await callPeer(client, ASK, { hello: HELLO, question }, 10_000, asIs)
  expect(answer.equals(Buffer.concat([HELLO, question]))).toBe(true)
})

test('an answer that cannot be read is a failure of the call, and nothing else', async () => {
  await serve((_call, answer) => answer(null, Buffer.from('nonsense')))
  const decode = (answer: Buffer): never => {
    throw new RangeError(`no answer: ${answer}`)
  }
  const asked = { hello: HELLO, question: Buffer.from('?') }
  await expect(callPeer(client, ASK, asked, 10_000, decode)).rejects.toThrow(new RangeError('no answer: nonsense'))
})

test('a refusal, and an answer that does not come, are failures that say so', async () => {
  const asked = { hello: HELLO, question: Buffer.from('?') }
  await serve((_call, answer) => answer({ code: status.PERMISSION_DENIED, details: 'not you' }))
  await expect(callPeer(client, ASK, asked, 10_000, text)).rejects.toThrow('not you')
  client.close()
  server.forceShutdown()
  await serve(() => undefined)
  await expect(callPeer(client, ASK, asked, 20, text)).rejects.toThrow('DEADLINE_EXCEEDED')
})
