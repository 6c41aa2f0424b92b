/** Records of `millrace bench`: known again by any later run, so that it never writes to, or measures, what is somebody else's. */
import { createHash } from 'node:crypto'
import { RECORD_BYTES_MIN, StampedRecords } from './stamped-records.ts'

/** The same in every run, and nothing that compresses. */
export function benchRecords(recordBytes: number): StampedRecords {
  const template = createHash('shake256', { outputLength: recordBytes }).update('millrace bench').digest()
  return new StampedRecords(recordBytes, template)
}

/** Knows values of `millrace bench` of any size. */
export class BenchRecordCheck {
  readonly #bySize = new Map<number, StampedRecords>()

  isOwn(value: Uint8Array): boolean {
    if (value.length < RECORD_BYTES_MIN) return false
    let records = this.#bySize.get(value.length)
    if (records === undefined) {
      records = benchRecords(value.length)
      this.#bySize.set(value.length, records)
    }
    return records.sequenceOf(value) !== undefined
  }
}
