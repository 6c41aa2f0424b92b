/** A partition in memory that decides about appends as a leader does: numbers, expectations, offsets. No Raft. */
import type { Expectation, ProducerPosition } from '@millrace/proto'
import { crc32, FrameKind, MillraceError, nextOffsetAfter, recordSetIndex, sealFrame } from '@millrace/record'

export interface FakeBatch {
  readonly recordSet: Uint8Array
  readonly codec: number
  readonly count: number
  readonly producer: ProducerPosition | undefined
  readonly expect: Expectation | undefined
}

interface FakeEntry {
  readonly bytes: Uint8Array
  readonly baseOffset: number
  readonly count: number
  readonly timestamp: number
  readonly producer: string
  readonly epoch: number
  readonly sequence: number
  readonly crc: number
}

export class FakePartition {
  readonly name: string
  readonly entries: FakeEntry[] = []
  leader: number
  logStartOffset = 0
  /** Streams that read it now. */
  readers = 0
  /** Producers of entries before this one are forgotten. */
  forgottenBefore = 0
  readonly #waiting = new Set<() => void>()

  constructor(name: string, leader: number) {
    this.name = name
    this.leader = leader
  }

  get highWatermark(): number {
    const last = this.entries.at(-1)
    return last === undefined ? 0 : last.baseOffset + last.count
  }

  /** @throws MillraceError as a leader refuses */
  append(batch: FakeBatch): FakeEntry {
    const index = recordSetIndex(batch.recordSet)
    if (index.count !== batch.count || index.codec !== batch.codec) {
      throw new MillraceError('CORRUPT_BATCH', 'count or codec differ from the record set')
    }
    const crc = crc32(batch.recordSet)
    const producer = Buffer.from(batch.producer?.id ?? []).toString('hex')
    const { epoch = 0, sequence = 0, retry = false } = batch.producer ?? {}
    const stored = producer === '' ? undefined : this.#decide(producer, { epoch, sequence, retry, crc })
    if (stored !== undefined) return stored
    this.#expect(batch.expect, index.key(0))
    const baseOffset = this.highWatermark
    const timestamp = Date.now()
    const frame = sealFrame(
      {
        kind: FrameKind.records,
        codec: index.codec,
        recordCount: index.count,
        producerId: batch.producer?.id ?? new Uint8Array(16),
        producerEpoch: epoch,
        sequence,
        payload: batch.recordSet,
        payloadCrc: crc,
      },
      { group: 1, index: this.entries.length + 2, term: 1, baseOffset, timestamp, previousChain: 0 },
    )
    const count = nextOffsetAfter(frame.header) - baseOffset
    const entry: FakeEntry = { bytes: frame.bytes, baseOffset, count, timestamp, producer, epoch, sequence, crc }
    this.entries.push(entry)
    this.wake()
    return entry
  }

  /** Resolves with the next append, or when `wake` is called. */
  changed(): Promise<void> {
    return new Promise(resolve => {
      this.#waiting.add(resolve)
    })
  }

  wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  #decide(
    producer: string,
    { epoch, sequence, retry, crc }: Pick<FakeEntry, 'epoch' | 'sequence' | 'crc'> & { readonly retry: boolean },
  ): FakeEntry | undefined {
    const known = this.entries.slice(this.forgottenBefore).filter(entry => entry.producer === producer)
    const newest = known.at(-1)
    if (newest === undefined) {
      if (sequence === 0 && !(retry && this.forgottenBefore > 0)) return undefined
      throw new MillraceError('PRODUCER_UNKNOWN', 'this producer is not known')
    }
    if (epoch < newest.epoch) throw new MillraceError('PRODUCER_FENCED', 'an old epoch')
    const next = epoch > newest.epoch ? 0 : newest.sequence + 1
    if (sequence > next) throw new MillraceError('PRODUCER_SEQUENCE_GAP', `${sequence} came before ${next}`)
    if (sequence === next) return undefined
    const stored = known.find(entry => entry.epoch === epoch && entry.sequence === sequence && entry.crc === crc)
    if (stored === undefined) throw new MillraceError('PRODUCER_CONFLICT', `${sequence} is taken`)
    return stored
  }

  #expect(expect: Expectation | undefined, key: Uint8Array | null): void {
    const condition = expect?.condition
    const partitionHolds = condition?.case !== 'partitionOffset' || Number(condition.value) === this.highWatermark
    const keyOffset = key === null ? -1 : this.#newestOf(key)
    const keyHolds = condition?.case !== 'keyOffset' || Number(condition.value) === keyOffset
    const absent = condition?.case !== 'keyAbsent' || keyOffset === -1
    if (partitionHolds && keyHolds && absent) return
    throw new MillraceError('EXPECTATION_FAILED', `${condition?.case} does not hold`)
  }

  #newestOf(key: Uint8Array): number {
    for (const entry of this.entries.toReversed()) {
      const index = recordSetIndex(entry.bytes.subarray(104, 104 + payloadLength(entry.bytes)))
      for (let i = entry.count - 1; i >= 0; i--) {
        if (Buffer.from(index.key(i) ?? []).equals(key)) return entry.baseOffset + i
      }
    }
    return -1
  }
}

function payloadLength(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(12, true)
}
