/** A small log on a disk in memory, to be damaged: several rounds, segments, terms, a configuration. */
import { FrameKind } from '@millrace/record'
import type { GroupLog } from '../log-store.ts'
import { decodeRoundRecord } from '../round-record.ts'
import { FaultDisk, seededRandom } from './fault-disk.ts'
import { readAll, written } from './log-store-contract.ts'
import { openOn } from './store-on.ts'
import { TestLog, testBase } from './test-log.ts'

export const GROUP = 3
export const FOLDER: string = `log/groups/${GROUP}`

export interface Sample {
  /** As a stop in order leaves it. */
  readonly clean: FaultDisk
  /** As a kill leaves it, with no mark that covers the last round. */
  readonly killed: FaultDisk
  readonly frames: readonly string[]
  /** Frames before the last round. */
  readonly lastRoundStart: number
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export async function allOf(log: GroupLog): Promise<readonly string[]> {
  return (await readAll(log)).map(hex)
}

export async function makeSample(): Promise<Sample> {
  const disk = new FaultDisk(seededRandom(1))
  const store = await openOn(disk)
  const log = await store.create(GROUP, { replicaId: 9, base: testBase() })
  const source = new TestLog(GROUP, log.base)
  const frames: string[] = []
  for (const [count, size] of [
    [2, 700],
    [3, 500],
    [1, 100],
    [2, 33],
    [3, 300],
  ] as const) {
    const round = source.append(count, {
      payload: new Uint8Array(size).fill(size),
      term: 1 + Math.floor(frames.length / 4),
    })
    if (frames.length === 6) round.push(source.next({ kind: FrameKind.configuration }))
    frames.push(...round.map(frame => hex(frame.bytes)))
    await written(log, {
      frames: round,
      ballot: { term: source.position.term, vote: 1 },
      commit: source.position.index - 4,
    })
  }
  const killed = disk.clone()
  await store.close()
  return { clean: disk.clone(), killed, frames, lastRoundStart: frames.length - 3 }
}

/** Bytes from the start of the newest round to the end of the file. */
export function lastRoundLength(file: Uint8Array): number {
  for (let at = file.length - 512; ; at -= 512) {
    const record = decodeRoundRecord(file.subarray(at))
    if (typeof record !== 'string' && record.position === at) return file.length - at
  }
}
