/**
 * What a partition remembers of its producers: per producer id the newest epoch and its last batches. Derived from
 * committed frames only, so that it is the same on every replica at the same applied index.
 *
 * Never refuses a frame for what the leader may have judged differently: a producer that was forgotten between proposal
 * and apply simply begins again. A frame that no correct leader can have made is a broken invariant and halts.
 *
 * Invariant: `#entries` is ordered by `lastIndex`, and so by timestamp; the first is the next to be forgotten.
 */
import type { FrameHeader } from '@millrace/record'
import { LIMITS } from '@millrace/record'
import { InvariantError } from './invariant-error.ts'
import { TOPIC_LIMITS } from './topic-limits.ts'

/** One stored batch, as a retry is recognised by it. */
export interface StoredBatch {
  readonly sequence: number
  readonly baseOffset: number
  readonly count: number
  readonly payloadCrc: number
  /** Leader's time of the append, milliseconds since 1970. */
  readonly timestamp: number
}

/** Immutable: a checkpoint may hold on to it while the table goes on. */
export interface ProducerEntry {
  readonly epoch: number
  /** Of `epoch`, rising and dense in sequence, newest last; 1 to `LIMITS.producerRememberedBatches`. */
  readonly batches: readonly StoredBatch[]
  /** Raft index of the last batch. */
  readonly lastIndex: number
}

/** A producer id as a map key: 16 characters, one per byte. */
export function producerKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1')
}

export class ProducerTable {
  readonly #entries: Map<string, ProducerEntry>
  readonly #producersMax: number
  readonly #hasForgotten: boolean
  #changed = new Set<string>()

  /**
   * @param entries what a checkpoint held, in any order
   * @param hasForgotten producers were forgotten before
   */
  constructor(
    entries: Iterable<readonly [string, ProducerEntry]> = [],
    producersMax: number = TOPIC_LIMITS.producersPerPartitionMax,
    hasForgotten = false,
  ) {
    this.#hasForgotten = hasForgotten
    this.#entries = new Map([...entries].sort((a, b) => a[1].lastIndex - b[1].lastIndex))
    this.#producersMax = producersMax
  }

  get size(): number {
    return this.#entries.size
  }

  /**
   * No producer was ever forgotten, so one that is not here has stored nothing. Producers leave only where entries were given
   * up, all of them, and where there are too many; then the table stays full: it is complete as long as it is not.
   */
  get complete(): boolean {
    return !this.#hasForgotten && this.#entries.size < this.#producersMax
  }

  get(key: string): ProducerEntry | undefined {
    return this.#entries.get(key)
  }

  /** Oldest first. */
  entries(): IterableIterator<[string, ProducerEntry]> {
    return this.#entries.entries()
  }

  /**
   * Takes in the committed records frame of a producer, and forgets the oldest producer where there are too many.
   *
   * @throws InvariantError where the frame repeats a batch or belongs to a fenced epoch
   */
  apply(key: string, header: FrameHeader): void {
    const known = this.#entries.get(key)
    const batch: StoredBatch = {
      sequence: header.sequence,
      baseOffset: header.baseOffset,
      count: header.recordCount,
      payloadCrc: header.payloadCrc,
      timestamp: header.timestamp,
    }
    const batches = known === undefined ? [batch] : successors(known, batch, header)
    this.#entries.delete(key)
    this.#entries.set(key, { epoch: header.producerEpoch, batches, lastIndex: header.index })
    this.#changed.add(key)
    if (this.#entries.size > this.#producersMax) this.#forgetOldest()
  }

  /** Keys that changed since the last call; one without an entry was forgotten. */
  takeChanges(): Set<string> {
    const changed = this.#changed
    this.#changed = new Set()
    return changed
  }

  /** Gives back what `takeChanges` returned and could not be stored. */
  returnChanges(keys: Iterable<string>): void {
    for (const key of keys) this.#changed.add(key)
  }

  #forgetOldest(): void {
    for (const key of this.#entries.keys()) {
      this.#entries.delete(key)
      this.#changed.add(key)
      return
    }
  }
}

/** The remembered batches once `batch` has joined them. */
function successors(known: ProducerEntry, batch: StoredBatch, header: FrameHeader): readonly StoredBatch[] {
  if (header.producerEpoch > known.epoch) {
    if (batch.sequence === 0) return [batch]
    throw broken(header, `starts epoch ${header.producerEpoch} at sequence ${batch.sequence}`)
  }
  if (header.producerEpoch < known.epoch)
    throw broken(header, `is of epoch ${header.producerEpoch}, not ${known.epoch}`)
  const expected = known.batches.at(-1)!.sequence + 1
  if (batch.sequence !== expected) throw broken(header, `has sequence ${batch.sequence}, not ${expected}`)
  const keep = LIMITS.producerRememberedBatches - 1
  return [...(known.batches.length > keep ? known.batches.slice(-keep) : known.batches), batch]
}

function broken(header: FrameHeader, what: string): InvariantError {
  const producer = Buffer.from(header.producerId).toString('hex')
  return new InvariantError(`committed batch of producer ${producer} at index ${header.index} ${what}`)
}
