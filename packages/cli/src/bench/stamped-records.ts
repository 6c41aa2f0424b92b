/**
 * Records that say which they are, and the check that every one of them came back once, whole and in order. A value holds
 * the number of its run, its own number, filler of the run, and its number again, inverted, at its end:
 *
 *     0      4          8                n - 4       n
 *     | run  | sequence | filler of run  | ~sequence |
 */
import { randomBytes } from 'node:crypto'

const HEAD_BYTES = 8
const TAIL_BYTES = 4
/** The shortest record: one that has no filler. */
export const RECORD_BYTES_MIN: number = HEAD_BYTES + TAIL_BYTES

/** Makes and knows again the values of one run. */
export class StampedRecords {
  readonly recordBytes: number
  readonly #template: Buffer

  /** @param template bytes of the run, as many as a record has; a program that shall know its own again gives the same */
  constructor(recordBytes: number, template: Buffer = randomBytes(recordBytes)) {
    if (recordBytes < RECORD_BYTES_MIN)
      throw new RangeError(`a record of ${recordBytes} bytes has no room for its stamp`)
    this.recordBytes = recordBytes
    this.#template = template
  }

  /** A new value, which nobody else writes to. */
  make(sequence: number): Buffer {
    const value = Buffer.allocUnsafe(this.recordBytes)
    this.#template.copy(value)
    value.writeUInt32LE(sequence, 4)
    value.writeUInt32LE(~sequence >>> 0, this.recordBytes - TAIL_BYTES)
    return value
  }

  /** The number of a value of this run that is as it was made; undefined for any other. */
  sequenceOf(value: Uint8Array): number | undefined {
    if (value.length !== this.recordBytes) return undefined
    const sequence = readU32(value, 4)
    if (readU32(value, value.length - TAIL_BYTES) !== ~sequence >>> 0) return undefined
    if (readU32(value, 0) !== this.#template.readUInt32LE(0)) return undefined
    const filler = this.#template.compare(
      value,
      HEAD_BYTES,
      value.length - TAIL_BYTES,
      HEAD_BYTES,
      value.length - TAIL_BYTES,
    )
    return filler === 0 ? sequence : undefined
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

/** How many records were not as they should be. */
export interface Faults {
  /** Acknowledged and not read. */
  readonly lost: number
  /** Read more than once. */
  readonly duplicated: number
  /** Behind one with a higher number, in one partition. */
  readonly reordered: number
  /** Changed, or never appended in this run. */
  readonly foreign: number
}

export class SequenceCheck {
  readonly #records: StampedRecords
  readonly #count: number
  readonly #acknowledged: (sequence: number) => boolean
  /** One bit per sequence. */
  readonly #seen: Uint8Array
  readonly #newest = new Map<number, number>()
  #distinct = 0
  #duplicated = 0
  #reordered = 0
  #foreign = 0

  /**
   * @param count numbers of this run are below it
   * @param acknowledged which of them have to be there; default: all
   */
  constructor(records: StampedRecords, count: number, acknowledged: (sequence: number) => boolean = () => true) {
    this.#records = records
    this.#count = count
    this.#acknowledged = acknowledged
    this.#seen = new Uint8Array(Math.ceil(count / 8))
  }

  /** Records seen so far, of whatever kind. */
  get total(): number {
    return this.#distinct + this.#duplicated + this.#foreign
  }

  /** Counts a value that was read. */
  see(partition: number, value: Uint8Array): void {
    const sequence = this.#records.sequenceOf(value)
    if (sequence === undefined || sequence >= this.#count) {
      this.#foreign++
      return
    }
    const bit = 1 << (sequence & 7)
    if ((this.#seen[sequence >>> 3]! & bit) !== 0) {
      this.#duplicated++
      return
    }
    this.#seen[sequence >>> 3]! |= bit
    this.#distinct++
    if (sequence < (this.#newest.get(partition) ?? 0)) this.#reordered++
    else this.#newest.set(partition, sequence)
  }

  faults(): Faults {
    let lost = 0
    for (let sequence = 0; sequence < this.#count; sequence++) {
      const seen = (this.#seen[sequence >>> 3]! & (1 << (sequence & 7))) !== 0
      if (!seen && this.#acknowledged(sequence)) lost++
    }
    return { lost, duplicated: this.#duplicated, reordered: this.#reordered, foreign: this.#foreign }
  }
}

export const NO_FAULTS: Faults = { lost: 0, duplicated: 0, reordered: 0, foreign: 0 }

/** `ok`, or what is wrong: `2 lost, 1 foreign`. */
export function describeFaults(faults: Faults): string {
  const found = Object.entries(faults).filter(([, count]) => count > 0)
  return found.length === 0 ? 'ok' : found.map(([what, count]) => `${count} ${what}`).join(', ')
}
