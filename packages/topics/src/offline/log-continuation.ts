/**
 * Entries that no leader made: sealed by an offline tool behind the end of a log, in a term above all before. Only for a log
 * whose group begins a new history with them, under another cluster id: nobody else has, or will have, entries there.
 */
import type { LogPosition } from '@millrace/log-store'
import { encodeGroupConfiguration, type GroupConfiguration } from '@millrace/raft-node'
import { type Frame, FrameCodec, FrameKind, NO_PRODUCER, sealFrame } from '@millrace/record'
import { type CatalogueCommand, encodeCommand } from '../catalogue-command.ts'

export class LogContinuation {
  readonly term: number
  readonly frames: Frame[] = []
  readonly #group: number
  readonly #end: LogPosition
  readonly #timestamp: number

  /**
   * @param term of the entries, above that of `end`
   * @param timestamp of the entries, milliseconds; not below that of `end`
   */
  constructor(group: number, end: LogPosition, term: number, timestamp: number) {
    this.#group = group
    this.#end = end
    this.term = term
    this.#timestamp = timestamp
  }

  /** A change of the group's configuration. In force once the log's commit index says so. */
  configuration(configuration: GroupConfiguration): this {
    return this.#seal(FrameKind.configuration, encodeGroupConfiguration(configuration))
  }

  /** A command of the catalogue. */
  command(command: CatalogueCommand): this {
    return this.#seal(FrameKind.command, encodeCommand(command))
  }

  #seal(kind: FrameKind, payload: Uint8Array): this {
    const last = this.frames.at(-1)?.header
    const frame = sealFrame(
      {
        kind,
        codec: FrameCodec.none,
        recordCount: 0,
        producerId: NO_PRODUCER,
        producerEpoch: 0,
        sequence: 0,
        payload,
      },
      {
        group: this.#group,
        index: (last?.index ?? this.#end.index) + 1,
        term: this.term,
        baseOffset: this.#end.nextOffset,
        timestamp: this.#timestamp,
        previousChain: last?.chain ?? this.#end.chain,
      },
    )
    this.frames.push(frame)
    return this
  }
}
