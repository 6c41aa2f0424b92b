/**
 * Counts inside of a process what its hot path does: bytes that JavaScript copies, promises, and messages over HTTP/2. The
 * functions that copy are replaced while it counts, and are as they were before and afterwards, so that product code has no
 * part in this. What is written byte by byte in a loop, and what Node, the kernel and disks copy, is not seen.
 */
import { channel } from 'node:diagnostics_channel'
import type { Http2Stream } from 'node:http2'
import { promiseHooks } from 'node:v8'
import { EnvelopeCount } from './envelope-count.ts'

/** Smaller copies are headers, and not the payload. */
const COPY_BYTES_MIN = 64
/** Copies from here on are all looked up in the stack: there are few, and each weighs much. */
const LARGE_BYTES_MIN = 4_096
/** Of all else, one of so many is looked up in the stack. Odd, so that it does not follow a rhythm of the code. */
const SAMPLE_EVERY = 31
/** Frames of the stack that are looked at for one that is no counter. */
const STACK_FRAMES = 12

/** What was counted, by place: `packages/record/src/wire.ts:68`. */
export type Places = Readonly<Record<string, number>>

export interface Counts {
  readonly copiedBytes: number
  /** Bytes, projected from samples. */
  readonly copiedAt: Places
  readonly promises: number
  /** Promises, projected from samples. */
  readonly promisesAt: Places
  readonly sent: StreamCounts
  readonly received: StreamCounts
}

/** Of all HTTP/2 streams of the process, in one direction. */
export interface StreamCounts {
  /** Envelopes of gRPC or Connect. */
  readonly messages: number
  /** Calls into Node to send, or of Node with what has come. */
  readonly chunks: number
  readonly bytes: number
  /** Streams of which the messages are not counted: other content, or one that was under way. */
  readonly strays: number
}

class Sampler {
  total = 0
  readonly #at = new Map<string, number>()
  #calls = 0

  add(amount: number): void {
    this.total += amount
    const isLarge = amount >= LARGE_BYTES_MIN
    if (!isLarge && ++this.#calls % SAMPLE_EVERY !== 0) return
    const place = callerPlace()
    this.#at.set(place, (this.#at.get(place) ?? 0) + amount * (isLarge ? 1 : SAMPLE_EVERY))
  }

  places(): Places {
    return Object.fromEntries(this.#at)
  }
}

class StreamCounter {
  chunks = 0
  bytes = 0
  readonly #streams = new Map<object, EnvelopeCount>()

  see(stream: object, bytes: Uint8Array): void {
    this.bytes += bytes.length
    let count = this.#streams.get(stream)
    if (count === undefined) {
      count = new EnvelopeCount()
      this.#streams.set(stream, count)
    }
    count.push(bytes)
  }

  counts(): StreamCounts {
    const all = [...this.#streams.values()]
    const known = all.filter(({ lost }) => !lost)
    const messages = known.reduce((sum, count) => sum + count.messages, 0)
    return { messages, chunks: this.chunks, bytes: this.bytes, strays: all.length - known.length }
  }
}

/** The prototype that all HTTP/2 streams share, from the first of them on. */
let streams: PatchedStream | undefined

interface PatchedStream {
  _write(chunk: Uint8Array, encoding: string, done: unknown): void
  _writev(chunks: readonly { readonly chunk: Uint8Array }[], done: unknown): void
  push(chunk: Uint8Array | null, encoding?: string): boolean
}

/** Looks out for the first HTTP/2 stream. Call before there is one. */
export function awaitStreams(): void {
  for (const side of ['client', 'server']) {
    channel(`http2.${side}.stream.created`).subscribe(message => {
      streams ??= streamPrototype((message as { stream: Http2Stream }).stream)
    })
  }
}

function streamPrototype(stream: Http2Stream): PatchedStream {
  let prototype: object = Object.getPrototypeOf(stream)
  while (prototype.constructor.name !== 'Http2Stream') prototype = Object.getPrototypeOf(prototype)
  return prototype as unknown as PatchedStream
}

/** Counts from now on. @returns ends it and says what was counted */
export function startCounting(): () => Counts {
  const copies = new Sampler()
  const promises = new Sampler()
  const [sent, received] = [new StreamCounter(), new StreamCounter()]
  const undo = [...replaceCopies(bytes => copies.add(bytes)), ...replaceStreams(sent, received)]
  // Sampling must not count what it does itself; it makes no promises.
  const stopHook = promiseHooks.onInit(() => promises.add(1))
  return () => {
    stopHook()
    for (const restore of undo) restore()
    return {
      copiedBytes: copies.total,
      copiedAt: copies.places(),
      promises: promises.total,
      promisesAt: promises.places(),
      sent: sent.counts(),
      received: received.counts(),
    }
  }
}

type AnyFunction = (this: unknown, ...args: never[]) => unknown
type Undo = () => void

/** Puts `make(original)` in the place of a method; the way back removes it, or puts back what was there. */
function replace<T extends object>(owner: T, name: keyof T, make: (original: AnyFunction) => AnyFunction): Undo {
  const own = Object.getOwnPropertyDescriptor(owner, name)
  const original = owner[name] as AnyFunction
  Object.defineProperty(owner, name, { configurable: true, writable: true, value: make(original) })
  return () => {
    if (own === undefined) delete owner[name]
    else Object.defineProperty(owner, name, own)
  }
}

function replaceCopies(count: (bytes: number) => void): Undo[] {
  const copied = (bytes: number): void => {
    if (bytes >= COPY_BYTES_MIN) count(bytes)
  }
  /** Of a result that holds nothing but what was copied. */
  const ofResult = (original: AnyFunction): AnyFunction =>
    function (this: unknown, ...args) {
      const result = original.apply(this, args)
      if (ArrayBuffer.isView(result)) copied(result.byteLength)
      return result
    }
  const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array
  return [
    replace(
      typedArray,
      'set',
      original =>
        function (this: unknown, ...args) {
          const [source] = args as unknown[]
          if (ArrayBuffer.isView(source)) copied(source.byteLength)
          return original.apply(this, args)
        },
    ),
    replace(
      typedArray,
      'copyWithin',
      original =>
        function (this: unknown, ...args) {
          const [target, start, end] = args as unknown as [number, number, number | undefined]
          const { length } = this as Uint8Array
          copied(Math.min((end ?? length) - start, length - target))
          return original.apply(this, args)
        },
    ),
    // Those of Buffers are views, and have a method of their own.
    replace(typedArray, 'slice', ofResult),
    replace(
      Buffer.prototype,
      'copy',
      original =>
        function (this: unknown, ...args) {
          const bytes = original.apply(this, args) as number
          copied(bytes)
          return bytes
        },
    ),
    replace(Buffer, 'concat', ofResult),
    replace(
      Buffer,
      'from',
      original =>
        function (this: unknown, ...args) {
          const [source] = args as unknown[]
          const result = original.apply(this, args)
          if (ArrayBuffer.isView(source)) copied(source.byteLength)
          return result
        },
    ),
  ]
}

function replaceStreams(sent: StreamCounter, received: StreamCounter): Undo[] {
  if (streams === undefined) return []
  return [
    replace(
      streams,
      '_write',
      original =>
        function (this: unknown, ...args) {
          const [chunk] = args as unknown as [Uint8Array]
          sent.chunks++
          sent.see(this as object, chunk)
          return original.apply(this, args)
        },
    ),
    replace(
      streams,
      '_writev',
      original =>
        function (this: unknown, ...args) {
          const [chunks] = args as unknown as [readonly { readonly chunk: Uint8Array }[]]
          sent.chunks++
          for (const { chunk } of chunks) sent.see(this as object, chunk)
          return original.apply(this, args)
        },
    ),
    replace(
      streams,
      'push',
      original =>
        function (this: unknown, ...args) {
          const [chunk] = args as unknown as [Uint8Array | null]
          if (chunk !== null) {
            received.chunks++
            received.see(this as object, chunk)
          }
          return original.apply(this, args)
        },
    ),
  ]
}

/** The innermost function of the stack that is neither of this file nor of Node. */
function callerPlace(): string {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = STACK_FRAMES
  const stack = new Error('sample').stack ?? ''
  Error.stackTraceLimit = stackTraceLimit
  for (const line of stack.split('\n').slice(1)) {
    const at = /(?:\(|at |file:\/\/)(\/[^()]*):(\d+):\d+\)?$/.exec(line)
    if (at === null || at[1] === undefined || at[1].endsWith(OWN_FILE)) continue
    return `${shortPath(at[1])}:${at[2]}`
  }
  return 'Node itself'
}

const OWN_FILE = '/profile/counters.ts'

function shortPath(path: string): string {
  const installed = path.lastIndexOf('/node_modules/')
  if (installed >= 0) return path.slice(installed + '/node_modules/'.length)
  return /(?:packages\/[^/]+|bench)\/(?:src|dist)\/.*$/.exec(path)?.[0] ?? path
}
