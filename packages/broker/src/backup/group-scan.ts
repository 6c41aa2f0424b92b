/**
 * Reads the two files of a group from end to end: checksums, chain, order, counts, and whether the frames come to the state
 * beside them. What it finds is what the manifest is made of, and what it is compared with later. One chunk and the state
 * of the group are in memory.
 */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { BaseRecord, LogPosition } from '@millrace/log-store'
import { isSamePosition } from '@millrace/log-store/offline'
import { type Frame, FrameKind, framePayload } from '@millrace/record'
import { GroupReplay, isReplayable, readState } from '@millrace/topics/offline'
import { FrameScanner } from './frame-scanner.ts'
import { type BackupGroup, groupFiles } from './manifest.ts'

const CHUNK_BYTES = 1_048_576

/** What the files have to agree with. */
export interface GroupExtent {
  readonly group: number
  readonly base: BaseRecord
  readonly point: LogPosition
  readonly stateHash: number
}

/** A file of a backup that is not what was written. */
export interface BackupDamage {
  /** Relative to the backup. */
  readonly file: string
  readonly what: string
}

export interface GroupScan extends Pick<BackupGroup, 'frames' | 'state' | 'configuration'> {
  readonly damage: readonly BackupDamage[]
}

/** @param onBytes hears how many bytes were read since it was last called */
export async function scanGroup(
  dir: string,
  extent: GroupExtent,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<GroupScan> {
  const damage: BackupDamage[] = []
  const state = await scanState(dir, extent, damage, onBytes)
  const scan = new FramesScan(extent)
  const file = groupFiles(extent.group).frames
  const hash = createHash('sha256')
  try {
    for await (const chunk of chunksOf(join(dir, file), hash, onBytes)) scan.push(chunk)
    for (const what of scan.end()) damage.push({ file, what })
  } catch (error) {
    damage.push({ file, what: unreadable(error) })
  }
  const { bytes, count, records, configuration } = scan
  return { state, frames: { bytes, sha256: hash.digest('hex'), count, records }, configuration, damage }
}

/** The chunks of a file, which are counted and go into `hash`. */
export async function* chunksOf(
  path: string,
  hash: Hash,
  onBytes: (bytes: number) => void = () => undefined,
): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>) {
    hash.update(chunk)
    onBytes(chunk.length)
    yield chunk
  }
}

async function scanState(
  dir: string,
  { group, point, stateHash }: GroupExtent,
  damage: BackupDamage[],
  onBytes: (bytes: number) => void,
): Promise<BackupGroup['state']> {
  const file = groupFiles(group).state
  const hash = createHash('sha256')
  let bytes = 0
  const counted = (length: number): void => {
    bytes += length
    onBytes(length)
  }
  const found = { entries: 0, hash: 0 }
  try {
    const read = await readState(chunksOf(join(dir, file), hash, counted))
    found.entries = read.stored.entries.length
    found.hash = read.hash
    const { index, term } = read.stored.applied
    if (index !== point.index || term !== point.term)
      damage.push({ file, what: `it is the state at entry ${index} of term ${term}, not at the point` })
    if (read.hash !== stateHash) damage.push({ file, what: 'the state does not match its hash' })
  } catch (error) {
    damage.push({ file, what: unreadable(error) })
  }
  return { bytes, sha256: hash.digest('hex'), ...found }
}

class FramesScan {
  readonly #extent: GroupExtent
  readonly #scanner: FrameScanner
  readonly #replay: GroupReplay | undefined
  #replayFault: string | undefined
  bytes = 0
  count = 0
  records = 0
  configuration: BackupGroup['configuration']

  constructor(extent: GroupExtent) {
    const { group, base } = extent
    this.#extent = extent
    this.#scanner = new FrameScanner(group, base)
    this.#replay = isReplayable(base) ? new GroupReplay(group, base) : undefined
    this.configuration = { index: base.configurationIndex, bytes: base64(base.configuration) }
  }

  push(chunk: Buffer): void {
    this.bytes += chunk.length
    const frames = this.#scanner.push(chunk)
    for (const frame of frames) this.#count(frame)
    if (this.#replayFault !== undefined || frames.length === 0) return
    try {
      this.#replay?.apply(frames)
    } catch (error) {
      this.#replayFault = unreadable(error)
    }
  }

  /** What is wrong, after the last chunk. */
  end(): string[] {
    const { point, stateHash } = this.#extent
    this.#scanner.end()
    const { fault, at } = this.#scanner
    if (fault !== undefined) return [fault]
    if (!isSamePosition(at, point)) {
      return [
        `it ends at entry ${at.index} of term ${at.term}, offset ${at.nextOffset}; the point is ${describe(point)}`,
      ]
    }
    if (this.#replayFault !== undefined) return [this.#replayFault]
    if (this.#replay !== undefined && this.#replay.stateHash() !== stateHash)
      return ['its entries do not come to the state of the group']
    return []
  }

  #count(frame: Frame): void {
    const { kind, recordCount, index } = frame.header
    this.count++
    this.records += recordCount
    if (kind === FrameKind.configuration) this.configuration = { index, bytes: base64(framePayload(frame)) }
  }
}

function describe({ index, term, nextOffset }: LogPosition): string {
  return `entry ${index} of term ${term}, offset ${nextOffset}`
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}

function unreadable(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'the file is missing'
  return error instanceof Error ? error.message : String(error)
}
