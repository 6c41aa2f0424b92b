/** What a client of any measured system can do: the workloads are written against this, once. */
import type { Faults } from '@millrace/cli/bench'

/** A value on its way to a partition. */
export interface Outgoing {
  readonly partition: number
  readonly value: Buffer
}

export interface Appender {
  /** Records that one call takes. */
  readonly callRecords: number
  /** Calls that are to be in flight for the best throughput. */
  readonly callsInFlight: number
  /** Resolves when all of them are on the disks of a majority, or, for streams, when more may be sent. */
  send(records: readonly Outgoing[]): Promise<unknown>
  /** Where calls resolve earlier: sends a last record, and resolves when all are on the disks of a majority. */
  last?(record: Outgoing): Promise<unknown>
  close(): Promise<void>
}

export type OnRecord = (partition: number, value: Uint8Array) => void

/** A program outside of this process that makes and sends the records of a turn by itself. */
export interface LoadProgram {
  /** Its records say nothing of themselves: only how many are stored can be checked. */
  readonly unstamped?: true
  /** Sends until the time is over or there are enough; resolves when all are acknowledged. */
  run(load: Load): Promise<ProgramFigures>
  close(): Promise<void>
}

export interface Load {
  /** Bytes from which its records are made, as `StampedRecords` makes them. */
  readonly template: Buffer
  /** Records go to them in turn. */
  readonly partitions: number
  readonly durationMs: number
  readonly recordsMax: number
}

/** Of the measured part, as the program says. */
export interface ProgramFigures {
  readonly records: number
  readonly ms: number
  /** Processor time of the program. */
  readonly cpuMs: number
}

/** Reads a topic from its start, and checks by itself what comes. */
export type ReadProgram = (
  topic: string,
  expected: {
    readonly template: Buffer
    readonly records: number
    /** It ends without them when nothing has come for so long. */
    readonly silenceMs: number
  },
  /** Called at its first record, from which it measures. */
  onFirst: () => void,
) => Promise<ProgramFigures & { readonly faults: Faults }>

/** Ways to append and to read, by the name that the table shows. */
export type Ways<T> = Readonly<Record<string, (topic: string) => T>>

export interface BenchClient {
  readonly appends: Ways<Promise<Appender>>
  /** Read from the start until `done` says so, or until the end that the topic had; each resolves when it has ended. */
  readonly reads: Readonly<Record<string, (topic: string, onRecord: OnRecord, done: () => boolean) => Promise<void>>>
  /** More ways to append and to read: of programs that do the whole turn. */
  readonly loadPrograms?: Ways<Promise<LoadProgram>>
  readonly readPrograms?: Readonly<Record<string, ReadProgram>>
  /** One record at a time, each call with the result of its record, and an end to its patience: for failovers. */
  retrying(topic: string): Promise<Appender>
  /** Creates it with three replicas; resolves when every partition takes records. */
  createTopic(topic: string, partitions: number): Promise<void>
  deleteTopic(topic: string): Promise<void>
  /** Node, from 1, that leads partition 0. */
  leader(topic: string): Promise<number>
  /**
   * Records in the topic, as the servers count them, when every partition has a leader again. Absent where reads end by
   * themselves at the last record that is committed.
   */
  stored?(topic: string): Promise<number>
  /** Reads from the start and goes on; resolves with the way to end it. */
  follow(topic: string, onRecord: OnRecord): Promise<() => Promise<void>>
  close(): Promise<void>
}

/** Reads by following from the start until `done` says so: for clients that know no end. */
export function readByFollowing(follow: BenchClient['follow']): BenchClient['reads'][string] {
  return async (topic, onRecord, done) => {
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    const close = await follow(topic, (partition, value) => {
      onRecord(partition, value)
      if (done()) resolve()
    })
    await enough
    await close()
  }
}

/** Asks again until it answers without an error: of a cluster that has lost a node a moment ago. */
export async function untilAnswered<T>(what: string, ask: () => Promise<T | undefined>, limitMs = 60_000): Promise<T> {
  const deadlineMs = performance.now() + limitMs
  let last: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined) return answer
    } catch (error) {
      last = error
    }
    if (performance.now() > deadlineMs) throw new Error(`${what}: nothing within ${limitMs / 1_000} s`, { cause: last })
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
