/**
 * The end of one group's log as the turn loop sees it, including what this turn sealed and storage has not heard of.
 *
 * Owns what the next frame must join: (term, chain) of every entry from a floor on, and timestamp and next offset at
 * the end. The floor never passes the commit index, and nothing at or below commit is ever replaced, so the place where
 * foreign frames have to join is always known without reading the log.
 */
import type { LogPosition } from '@millrace/log-store'
import type { Configuration, Entry, LogIndex, Term } from '@millrace/raft-core'
import { chainOf, crc32, type Frame, type FrameBody, framePayload, nextOffsetAfter } from '@millrace/record'
import { type EntryPayload, isSealed, sealEntry } from './entry-frame.ts'
import type { GroupConfiguration } from './group-handle.ts'
import { countCopy } from './payload-copies.ts'

/** In place of terms and chains that cannot be read. */
const UNKNOWN = Number.NaN

/** Positions let go of at once, so that dropping them costs nothing per entry. */
const DROP_BATCH = 1_024

export class LogTail {
  readonly group: number
  /** Index of the first element of the two arrays below. */
  #floor: LogIndex
  readonly #terms: Term[]
  readonly #chains: number[]
  #timestamp: number
  #nextOffset: number

  /** `floor`: a committed position or the log's base; what follows up to the end comes by {@link append}. */
  constructor(group: number, floor: LogPosition) {
    this.group = group
    this.#floor = floor.index
    this.#terms = [floor.term]
    this.#chains = [floor.chain]
    this.#timestamp = floor.timestamp
    this.#nextOffset = floor.nextOffset
  }

  get lastIndex(): LogIndex {
    return this.#floor + this.#chains.length - 1
  }

  get lastTerm(): Term {
    return this.#terms[this.#terms.length - 1]!
  }

  get nextOffset(): number {
    return this.#nextOffset
  }

  /** Seals an entry of this leader as the next one of the log. */
  seal(
    entry: Entry<EntryPayload>,
    wallMs: number,
    describe: (configuration: Configuration) => GroupConfiguration,
  ): Frame {
    if (entry.index !== this.lastIndex + 1) {
      throw new Error(`group ${this.group}: entry ${entry.index} sealed after ${this.lastIndex}`)
    }
    const at = {
      group: this.group,
      index: entry.index,
      term: entry.term,
      baseOffset: this.#nextOffset,
      timestamp: Math.max(this.#timestamp, Math.floor(wallMs)),
      previousChain: this.#chains[this.#chains.length - 1]!,
    }
    const body = entry.payload as FrameBody | null
    const frame = sealEntry(entry, at, describe)
    if (body?.payload.buffer !== frame.bytes.buffer) countCopy('sealed', frame.header.payloadLength)
    this.append(frame)
    return frame
  }

  /** Takes a frame that joins; everything from its index on is replaced. */
  append(frame: Frame): void {
    const { header } = frame
    const at = header.index - this.#floor
    if (at < 1 || at > this.#chains.length) {
      throw new Error(`group ${this.group}: frame ${header.index} outside ${this.#floor + 1}–${this.lastIndex + 1}`)
    }
    this.#terms.length = at
    this.#chains.length = at
    this.#terms.push(header.term)
    this.#chains.push(header.chain)
    this.#timestamp = header.timestamp
    this.#nextOffset = nextOffsetAfter(header)
  }

  /** The entries up to `at` cannot be read; where the log stands after them is known. */
  skip(at: LogPosition): void {
    while (this.lastIndex < at.index - 1) {
      this.#terms.push(UNKNOWN)
      this.#chains.push(UNKNOWN)
    }
    this.#terms.push(at.term)
    this.#chains.push(at.chain)
    this.#timestamp = at.timestamp
    this.#nextOffset = at.nextOffset
  }

  /** Entries can be read that could not. */
  fill(frames: readonly Frame[]): void {
    for (const { header } of frames) {
      const at = header.index - this.#floor
      if (at < 0 || !Number.isNaN(this.#chains[at])) continue
      this.#terms[at] = header.term
      this.#chains[at] = header.chain
    }
  }

  /** Everything is replaced by a snapshot that ends there. */
  restart(at: LogPosition): void {
    this.#floor = at.index
    this.#terms.splice(0, this.#terms.length, at.term)
    this.#chains.splice(0, this.#chains.length, at.chain)
    this.#timestamp = at.timestamp
    this.#nextOffset = at.nextOffset
  }

  /** Entries up to `commit` are never replaced any more. */
  committed(commit: LogIndex): void {
    const drop = Math.min(commit, this.lastIndex) - this.#floor
    // What comes after an entry that cannot be read must join something: the floor stays where that is known.
    if (drop < DROP_BATCH || Number.isNaN(this.#chains[drop])) return
    this.#terms.splice(0, drop)
    this.#chains.splice(0, drop)
    this.#floor += drop
  }

  /**
   * Whether the frames of an append message are whole and join this log where it agrees with the message. Where it
   * does not agree (another term at `previousIndex`, or a gap), only the message itself is checked: the core refuses it.
   *
   * @returns what is wrong, or undefined
   */
  check(previousIndex: LogIndex, previousTerm: Term, entries: readonly Entry<EntryPayload>[]): string | undefined {
    let before: Frame | undefined
    for (let i = 0; i < entries.length; i++) {
      const fault = this.#checkEntry(previousIndex + 1 + i, entries[i]!, before)
      if (fault !== undefined) return `entry ${previousIndex + 1 + i}: ${fault}`
      before = entries[i]!.payload as Frame
    }
    return this.#checkJoin(previousIndex, previousTerm, entries)
  }

  #checkEntry(index: LogIndex, entry: Entry<EntryPayload>, before: Frame | undefined): string | undefined {
    const frame = entry.payload
    if (!isSealed(frame)) return 'without a frame'
    const { header } = frame
    if (header.group !== this.group) return `belongs to group ${header.group}`
    if (header.index !== index || entry.index !== index || header.term !== entry.term) {
      return `frame says index ${header.index}, term ${header.term}`
    }
    if (crc32(framePayload(frame)) !== header.payloadCrc) return 'payload checksum does not match'
    if (before === undefined) return undefined
    if (chainOf(frame.bytes, before.header.chain) !== header.chain) return 'chain does not join the frame before'
    if (header.term < before.header.term) return 'term below that of the frame before'
    if (header.timestamp < before.header.timestamp) return 'timestamp below that of the frame before'
    if (header.baseOffset !== nextOffsetAfter(before.header)) return 'offset does not follow the frame before'
    return undefined
  }

  #checkJoin(previousIndex: LogIndex, previousTerm: Term, entries: readonly Entry<EntryPayload>[]): string | undefined {
    const first = entries[0]?.payload
    if (first === undefined || !isSealed(first) || previousIndex > this.lastIndex) return undefined
    if (previousIndex >= this.#floor) {
      const at = previousIndex - this.#floor
      // Inside a hole neither is known, and the core refuses.
      if (this.#terms[at] !== previousTerm) return undefined
      const joins = chainOf(first.bytes, this.#chains[at]!) === first.header.chain
      return joins ? undefined : `chain does not join this log at ${previousIndex}`
    }
    // The message begins inside what is committed here: it must agree with this log at the floor.
    const atFloor = entries[this.#floor - previousIndex - 1]?.payload
    if (atFloor === undefined || !isSealed(atFloor)) return undefined
    const { term, chain } = atFloor.header
    return term === this.#terms[0] && chain === this.#chains[0] ? undefined : `differs from this log at ${this.#floor}`
  }
}
