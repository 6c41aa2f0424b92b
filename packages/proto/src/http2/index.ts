/** Streams of the Connect protocol on node:http2, for both of their ends. Only for Node. */
export { type Envelope, EnvelopeFlag, EnvelopeTooLongError } from './envelope-reader.ts'
export { appendStreamRequestParts, frameBatchParts, type MessageParts } from './message-parts.ts'
export { MessageReader } from './message-reader.ts'
export { MessageWriter } from './message-writer.ts'
