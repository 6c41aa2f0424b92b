/**
 * One of three processes that do what a replicated log cannot do without: the leader checks what comes, writes it through
 * to its disk and passes it on as it is; the others check, write and say so; two of three make an acknowledgement. No RPC,
 * no Raft, no recovery. Arguments: folder, ports of the followers (leader only). Says its port over IPC.
 */
import { createReadStream } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { collectYoungBuffersFirst } from '@millrace/client/v8'
import { ACKNOWLEDGEMENT_BYTES, AcknowledgementCutter, type Frame, FrameCutter, Operation, sealFrame } from './frame.ts'
import { PartitionFile } from './partition-file.ts'

const MAJORITY = 2
const READ_BYTES = 262_144

// As the nodes of Millrace do.
collectYoungBuffersFirst()
const [folder = '', ...followerPorts] = process.argv.slice(2)
const files = new Map<string, PartitionFile>()
const observers = new Map<string, Set<Socket>>()

function fatal(error: Error): void {
  throw error
}

const nameOf = ({ topic, partition }: Frame): string => `${topic}-${partition}`

function fileOf(name: string): PartitionFile {
  let file = files.get(name)
  if (file === undefined) {
    file = new PartitionFile(join(folder, name), fatal)
    files.set(name, file)
  }
  return file
}

/** Acknowledgements are numbers; those of one turn go out together. */
function acknowledge(socket: Socket, call: number): void {
  const bytes = Buffer.allocUnsafe(ACKNOWLEDGEMENT_BYTES)
  bytes.writeUInt32LE(call)
  writeSoon(socket, bytes)
}

function writeSoon(socket: Socket, bytes: Buffer): void {
  if (socket.destroyed) return
  socket.cork()
  socket.write(bytes)
  process.nextTick(() => socket.uncork())
}

/** A follower as the leader sees it. Both count the frames of their connection: an acknowledgement is such a number. */
class Follower {
  readonly #socket: Socket
  readonly #waiting = new Map<number, () => void>()
  readonly #acknowledgements = new AcknowledgementCutter()
  #sent = 0

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('error', fatal).on('data', (chunk: Buffer) => {
      for (const call of this.#acknowledgements.push(chunk)) {
        this.#waiting.get(call)?.()
        this.#waiting.delete(call)
      }
    })
  }

  forward(frame: Frame, durable: () => void): void {
    this.#waiting.set(this.#sent++, durable)
    writeSoon(this.#socket, frame.bytes)
  }
}

const followers = followerPorts.map(port => new Follower(Number(port)))

/** On the leader: durable on a majority. On a follower: durable here. */
function append(frame: Frame, done: () => void): void {
  const name = nameOf(frame)
  let missing = followers.length === 0 ? 1 : MAJORITY
  const durable = (): void => {
    missing--
    if (missing !== 0) return
    done()
    for (const socket of observers.get(name) ?? []) writeSoon(socket, frame.bytes)
  }
  fileOf(name).append(frame.bytes, durable)
  for (const follower of followers) follower.forward(frame, durable)
}

/** Sends what was acknowledged before, though the followers may have been faster with it than this node. */
function read(frame: Frame, socket: Socket): void {
  const file = fileOf(nameOf(frame))
  file.whenWritten(() => sendAll(frame, file, socket))
}

function sendAll(frame: Frame, { path, end }: PartitionFile, socket: Socket): void {
  const last = (): void => void socket.write(sealFrame({ ...frame, operation: Operation.end }))
  if (end === 0) {
    last()
    return
  }
  const stream = createReadStream(path, { end: end - 1, highWaterMark: READ_BYTES })
  stream.on('error', fatal).on('end', last).pipe(socket, { end: false })
}

function follow(frame: Frame, socket: Socket): void {
  const name = nameOf(frame)
  observers.set(name, (observers.get(name) ?? new Set()).add(socket))
  socket.on('close', () => observers.get(name)?.delete(socket))
}

function forget(frame: Frame): void {
  for (const follower of followers) follower.forward(frame, () => undefined)
  for (const [name, file] of files) {
    if (!name.startsWith(`${frame.topic}-`)) continue
    files.delete(name)
    file.whenWritten(() => file.close())
  }
}

const server = createServer({ noDelay: true }, socket => {
  const cutter = new FrameCutter()
  let received = 0
  const take = (frame: Frame): void => {
    // Clients number their calls; between nodes the place in the stream is the number.
    const call = followers.length === 0 ? received : frame.call
    received++
    if (frame.operation === Operation.append) append(frame, () => acknowledge(socket, call))
    else if (frame.operation === Operation.read) read(frame, socket)
    else if (frame.operation === Operation.follow) follow(frame, socket)
    else if (frame.operation === Operation.forget) forget(frame)
    else fatal(new Error(`an operation ${frame.operation}`))
    if (frame.operation === Operation.forget) acknowledge(socket, call)
  }
  socket.on('data', (chunk: Buffer) => cutter.push(chunk).forEach(take))
  // A client that goes away in the middle is not the end of the others.
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('disconnect', () => process.exit(0))
