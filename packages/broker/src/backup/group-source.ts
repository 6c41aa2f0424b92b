/** Where a backup gets its groups from: BackUpGroup calls of running nodes, one piece in memory at a time. */
import { create } from '@bufbuild/protobuf'
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import type { BaseRecord, LogPosition } from '@millrace/log-store'
import {
  BackUpGroupRequestSchema,
  type BackUpGroupResponse,
  type BackupHead,
  type BackupPosition,
  ClusterService,
} from '@millrace/proto'
import { MillraceError } from '@millrace/record'
import { toMillraceError } from '../services/connect-error.ts'

/** Above any piece: one frame of the largest payload. */
const MESSAGE_BYTES_MAX = 64 * 1_048_576
/** A node that says nothing for so long is given up. */
const SILENCE_MS = 30_000

/** A group as one node hands it out. */
export interface GroupCopy {
  readonly clusterId: string
  readonly version: string
  readonly base: BaseRecord
  readonly point: LogPosition
  readonly stateHash: number
  /** To be read to its end, before `frames`. */
  readonly state: AsyncIterable<Uint8Array>
  readonly frames: AsyncIterable<Uint8Array>
}

export interface ClusterPlaces {
  readonly clusterId: string
  readonly nodes: readonly { readonly node: number; readonly url: string }[]
}

/** @throws MillraceError UNREACHABLE and others */
export async function clusterPlaces(url: string, signal: AbortSignal): Promise<ClusterPlaces> {
  try {
    const { clusterId, nodes } = await clientOf(url).describeCluster({}, { signal, timeoutMs: SILENCE_MS })
    return { clusterId, nodes: nodes.map(({ node, clientUrl }) => ({ node, url: clientUrl })) }
  } catch (error) {
    throw toMillraceError(error)
  }
}

/**
 * Opens the copy of a group, hands it to `use`, and ends the call.
 *
 * @throws MillraceError as the node answers; UNREACHABLE, CONNECTION_LOST; what `use` throws
 */
export async function withGroupCopy<T>(
  url: string,
  group: number,
  signal: AbortSignal,
  use: (copy: GroupCopy) => Promise<T>,
): Promise<T> {
  const silence = new Silence()
  const over = new AbortController()
  const request = create(BackUpGroupRequestSchema, { group: BigInt(group) })
  const options = { signal: AbortSignal.any([signal, silence.signal, over.signal]) }
  const responses = clientOf(url).backUpGroup(request, options)[Symbol.asyncIterator]()
  const parts = new Parts(responses, silence, url)
  try {
    return await use(await openCopy(parts, url))
  } finally {
    silence.end()
    over.abort()
  }
}

async function openCopy(parts: Parts, url: string): Promise<GroupCopy> {
  const first = await parts.take()
  if (first?.case !== 'head') throw new MillraceError('INTERNAL', `${url} did not begin a backup with its head`)
  const head = first.value
  return {
    clusterId: head.clusterId,
    version: head.version,
    base: baseOf(head),
    point: positionOf(head.point),
    stateHash: head.stateHash,
    state: parts.while('state'),
    frames: parts.while('frames'),
  }
}

type Part = BackUpGroupResponse['part']

class Parts {
  readonly #responses: AsyncIterator<BackUpGroupResponse>
  readonly #silence: Silence
  readonly #url: string
  /** Taken, and not of the kind that was asked for. */
  #held: Part | undefined

  constructor(responses: AsyncIterator<BackUpGroupResponse>, silence: Silence, url: string) {
    this.#responses = responses
    this.#silence = silence
    this.#url = url
  }

  async take(): Promise<Part | undefined> {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) return held
    this.#silence.begin()
    try {
      const result = await this.#responses.next()
      return result.done === true ? undefined : result.value.part
    } catch (error) {
      if (!this.#silence.signal.aborted) throw toMillraceError(error)
      throw new MillraceError('CONNECTION_LOST', `${this.#url} said nothing for ${SILENCE_MS / 1000} s`, {
        cause: error,
      })
    } finally {
      this.#silence.end()
    }
  }

  async *while(kind: 'state' | 'frames'): AsyncGenerator<Uint8Array> {
    for (;;) {
      const part = await this.take()
      if (part === undefined) return
      if (part.case !== kind) {
        this.#held = part
        return
      }
      yield part.value
    }
  }
}

/** Counts only while something is waited for: writing what came may take as long as the disk needs. */
class Silence {
  readonly #controller = new AbortController()
  #timer: NodeJS.Timeout | undefined

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  begin(): void {
    this.#timer = setTimeout(() => this.#controller.abort(), SILENCE_MS)
  }

  end(): void {
    clearTimeout(this.#timer)
  }
}

function clientOf(url: string): Client<typeof ClusterService> {
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: '1.1',
    acceptCompression: [],
    readMaxBytes: MESSAGE_BYTES_MAX,
  })
  return createClient(ClusterService, transport)
}

function baseOf(head: BackupHead): BaseRecord {
  return {
    ...positionOf(head.base),
    configuration: head.baseConfiguration,
    configurationIndex: Number(head.baseConfigurationIndex),
    voidBelow: 0,
  }
}

function positionOf(position: BackupPosition | undefined): LogPosition {
  if (position === undefined) throw new MillraceError('INTERNAL', 'a backup began without its point')
  const { index, term, chain, timestamp, nextOffset } = position
  return {
    index: Number(index),
    term: Number(term),
    chain,
    timestamp: Number(timestamp),
    nextOffset: Number(nextOffset),
  }
}
