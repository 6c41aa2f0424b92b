/**
 * Reads record sets lazily: the index at once, the value block when the first value is asked for, a record when it is
 * looked at. Nothing is copied but what zstd has to unpack: all bytes are views on the set (or the unpacked block).
 */
import type { FrameCodec } from './frame.ts'
import type { RecordData, RecordHeader } from './record-data.ts'
import { type RecordSetIndex, recordSetIndex } from './record-set-index.ts'
import { openValueBlock, type ValueBlock } from './value-block.ts'

/** A record set under a reader. `i` runs from 0 to `count` − 1 everywhere. */
export class RecordSetReader implements Iterable<RecordData> {
  readonly index: RecordSetIndex
  #block: ValueBlock | null = null

  /**
   * @param bytes a whole message `RecordSet`; must not change while the reader or its records are in use
   * @throws CORRUPT_BATCH naming the field
   */
  constructor(bytes: Uint8Array) {
    this.index = recordSetIndex(bytes)
  }

  get count(): number {
    return this.index.count
  }

  get codec(): FrameCodec {
    return this.index.codec
  }

  key(i: number): Uint8Array | null {
    return this.index.key(i)
  }

  /** Hash of the key as the producer wrote it; 0 where there is no key. */
  keyHash(i: number): number {
    return this.index.keyHashes === null ? 0 : this.index.keyHashes[i]!
  }

  createTime(i: number): number {
    return this.index.createTime(i)
  }

  /** Null for a tombstone. The first call opens the value block. */
  value(i: number): Uint8Array | null {
    return this.index.isTombstone(i) ? null : this.#open().value(i)
  }

  headers(i: number): readonly RecordHeader[] {
    return this.#open().headers(i)
  }

  contentType(i: number): string {
    return this.#open().contentType(i)
  }

  /**
   * The whole record.
   *
   * @throws RangeError where `i` is not a record of this set; CORRUPT_BATCH where the value block makes no sense
   */
  record(i: number): RecordData {
    if (!(i >= 0 && i < this.count)) throw new RangeError(`record ${i} of a set of ${this.count}`)
    return {
      key: this.key(i),
      value: this.value(i),
      headers: this.headers(i),
      contentType: this.contentType(i),
      createTime: this.createTime(i),
    }
  }

  *[Symbol.iterator](): Generator<RecordData> {
    for (let i = 0; i < this.count; i++) yield this.record(i)
  }

  #open(): ValueBlock {
    this.#block ??= openValueBlock(this.index)
    return this.#block
  }
}
