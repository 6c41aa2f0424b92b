/** A partition over a fake group, batches to append to it, and the answers in order. */
import type { GroupLog } from '@millrace/log-store'
import type { MemoryLogStoreOptions } from '@millrace/log-store/memory'
import { crc32, MillraceError } from '@millrace/record'
import { MemoryStateStore } from '../memory-state-store.ts'
import type { AppendBatch, Appended } from '../partition.ts'
import { PartitionMachine } from '../partition-machine.ts'
import { PartitionReplica } from '../partition-replica.ts'
import { FakeGroup } from './fake-group.ts'

export const PRODUCER_A: Uint8Array = new Uint8Array(16).fill(0xa)
export const PRODUCER_B: Uint8Array = new Uint8Array(16).fill(0xb)

/** One record per character. */
export function batch(text: string, rest: Partial<AppendBatch> = {}): AppendBatch {
  const payload = new TextEncoder().encode(text)
  return { payload, payloadCrc: crc32(payload), codec: 0, count: payload.length, ...rest }
}

export function idempotent(text: string, sequence: number, epoch = 0, id: Uint8Array = PRODUCER_A): AppendBatch {
  return batch(text, { producer: { id, epoch, sequence } })
}

/** `idempotent`, after an attempt that was not answered. */
export function retried(text: string, sequence: number, epoch = 0, id: Uint8Array = PRODUCER_A): AppendBatch {
  return batch(text, { producer: { id, epoch, sequence, retry: true } })
}

/** An answer as tests compare it: where it is stored, `=` before a duplicate's place, or the error code. */
function shown(answer: Appended | MillraceError): string {
  if (answer instanceof MillraceError) return answer.code
  return `${answer.duplicate ? '=' : ''}${answer.baseOffset}+${answer.count}`
}

export class PartitionFixture {
  readonly group: FakeGroup
  readonly replica: PartitionReplica

  private constructor(group: FakeGroup) {
    this.group = group
    this.replica = new PartitionReplica('orders', 0, group.machine as PartitionMachine, group)
  }

  static async create(producersMax?: number, store: MemoryLogStoreOptions = {}): Promise<PartitionFixture> {
    const machine = (log: GroupLog): PartitionMachine => newMachine(log, new MemoryStateStore(), producersMax)
    return new PartitionFixture(await FakeGroup.create(5, machine, store))
  }

  get machine(): PartitionMachine {
    return this.replica.machine
  }

  /** Appends and collects the answer, once there is one, in the returned list. */
  append(...batches: readonly AppendBatch[]): string[] {
    const answers: string[] = []
    for (const b of batches) this.replica.append(b, answer => answers.push(shown(answer)))
    return answers
  }
}

export function newMachine(log: GroupLog, stateStore: MemoryStateStore, producersMax?: number): PartitionMachine {
  const { base, group } = log
  return new PartitionMachine({
    group,
    stateStore,
    stored: stateStore.load(group),
    base,
    ...(producersMax === undefined ? {} : { producersMax }),
  })
}
