/**
 * The rounds of a segment one after the other, each verified as a whole before it is handed out, in memory for no more
 * than one round. Damage is one step of the walk; the next valid record is the one after it.
 */
import type { Frame } from '@millrace/record'
import type { DiskFile } from '../disk.ts'
import { FileWindow } from '../file-window.ts'
import { decodeRoundRecord, ROUND_RECORD_BYTES, type RoundRecord, roundEnd } from '../round-record.ts'
import type { SegmentGap } from '../segment.ts'
import type { SegmentHeader } from '../segment-header.ts'
import { scanSegment } from '../segment-scanner.ts'
import { type FileFault, faultOf, headerFrom, readRecord } from './segment-file.ts'

const CHUNK_BYTES = 1_048_576

export type WalkStep =
  | { readonly kind: 'round'; readonly record: RoundRecord; readonly frames: readonly Frame[] }
  /** `gap`: what is missing before the next valid record, where there is one. */
  | { readonly kind: 'fault'; readonly fault: FileFault; readonly isTail: boolean; readonly gap: SegmentGap | null }

export async function* walkRounds(file: DiskFile, header: SegmentHeader): AsyncGenerator<WalkStep, void, undefined> {
  const window = new FileWindow(file, CHUNK_BYTES, await file.size())
  for (let at = header; ; ) {
    const round = await scanOne(window, at)
    if (round.lastRound !== null) {
      const { record, frames } = round.lastRound
      yield { kind: 'round', record, frames }
      at = { ...header, length: round.end, base: round.last }
      continue
    }
    // The scan stops here at once, and says what comes after.
    const { stop, gaps } = await scanSegment(file, at, { untilGap: true })
    if (stop.kind === 'end') return
    yield { kind: 'fault', fault: faultOf(stop), isTail: stop.kind === 'incomplete', gap: gaps[0] ?? null }
    if (stop.kind !== 'damaged' || gaps.length === 0) return
    at = headerFrom(header, await readRecord(file, stop.nextRecord))
  }
}

/** Scans the one round at the start of `header`: the scanner sees a file that ends where its record says. */
async function scanOne(window: FileWindow, header: SegmentHeader): ReturnType<typeof scanSegment> {
  const bytes = await window.load(header.length, ROUND_RECORD_BYTES)
  const record = decodeRoundRecord(bytes)
  const end = typeof record === 'string' ? header.length + bytes.length : roundEnd(record)
  return scanSegment(windowFile(window, end), header, { untilGap: true })
}

/** What is in a window as a file of `size` bytes. */
function windowFile(window: FileWindow, size: number): DiskFile {
  const refuse = (): Promise<never> => Promise.reject(new Error('a window is for reading only'))
  return {
    async read(into, position) {
      const bytes = await window.load(position, Math.max(0, Math.min(into.length, size - position)))
      into.set(bytes)
      return bytes.length
    },
    size: async () => size,
    names: async () => 1,
    writev: refuse,
    datasync: refuse,
    close: async () => undefined,
  }
}
