/** One question to a peer, and its answer: a unary call that begins with this node's hello. */
import { type Client, Metadata, type MethodDefinition } from '@grpc/grpc-js'

/**
 * @param hello of this node to that peer
 * @param decode reads the answer; what it throws is the call's failure
 * @throws Error (as a rejection) where the call fails, or is not answered within `deadlineMs`
 */
export function callPeer<T>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<Buffer, Buffer>,
  { hello, question }: { readonly hello: Buffer; readonly question: Uint8Array },
  deadlineMs: number,
  decode: (answer: Buffer) => T,
): Promise<T> {
  const request = Buffer.concat([hello, question])
  const options = { deadline: Date.now() + deadlineMs }
  return new Promise<Buffer>((resolve, reject) => {
    const done = (error: Error | null, answer?: Buffer): void => {
      if (error !== null || answer === undefined) reject(error ?? new Error('no answer'))
      else resolve(answer)
    }
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), options, done)
  }).then(decode)
}
