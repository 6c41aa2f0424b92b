/** The workloads, as one client carries them out: the same for every system. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Faults, Histogram, NO_FAULTS, SequenceCheck, StampedRecords } from '@millrace/cli/bench'
import type { Appender, BenchClient, ProgramFigures, ReadProgram } from './client.ts'
import { Meter, ReadTurn, together } from './meter.ts'
import { openLoop } from './open-loop.ts'
import type { AppendOrder, FailoverOrder, Measured, Metered, PaceOrder, ReadOrder } from './orders.ts'
import { monotonicMs } from './process-figures.ts'

/** How long a read may bring nothing new before what is missing counts as lost. */
const SILENCE_MS = 30_000
/** How long records sent at a fixed rate may take to arrive after the last one was sent. */
const ARRIVAL_MS = 15_000
const AFTER_FAILOVER_MS = 1_000
const FAILOVER_LIMIT_MS = 60_000
const AFTER_REFUSAL_MS = 5

/** A topic to read, and what is in it. */
interface Filled {
  readonly topic: string
  readonly records: StampedRecords
  /** Of the records. */
  readonly template: Buffer
}

/** One turn of appends, ready to begin. */
interface Load {
  readonly unstamped?: true | undefined
  run(): Promise<Pick<ProgramFigures, 'records'> | ProgramFigures>
  close(): Promise<void>
}

/** What a failover left, to be read back when all nodes run again. */
interface Leftover {
  readonly topic: string
  readonly records: StampedRecords
  readonly acknowledged: readonly boolean[]
}

/**
 * Told, before a measurement begins and after it has ended, which node leads the topic; resolves when it may go on.
 * Warm-ups and checks are outside.
 */
export type Window = (edge: 'begin' | 'end', leader: number) => Promise<void>

export class Workloads {
  readonly #client: BenchClient
  readonly #filled = new Map<number, Filled>()
  readonly #warm = new Set<string>()
  #leftover: Leftover | undefined
  #serial = 0

  constructor(client: BenchClient) {
    this.#client = client
  }

  async append(order: AppendOrder, metered: Metered, window?: Window): Promise<Measured> {
    const { way, recordBytes } = order
    if (!this.#warm.has(`${way} ${recordBytes}`)) {
      this.#warm.add(`${way} ${recordBytes}`)
      await this.#append({ ...order, durationMs: order.durationMs / 4, recordsMax: order.recordsMax / 4 }, metered)
    }
    return await this.#append(order, metered, window)
  }

  async #append(order: AppendOrder, metered: Metered, window?: Window): Promise<Measured> {
    const { recordBytes, partitions } = order
    const topic = await this.#newTopic(partitions)
    const template = randomBytes(recordBytes)
    const records = new StampedRecords(recordBytes, template)
    const latencies = new Histogram()
    const load = await this.#load(order, topic, { records, template, latencies })
    await window?.('begin', await this.#client.leader(topic))
    const meter = new Meter(metered)
    const sent = await load.run()
    const figures = meter.figures('ms' in sent ? sent : undefined)
    await window?.('end', await this.#client.leader(topic))
    await load.close()
    const faults = load.unstamped
      ? await this.#verifyCount(topic, sent.records)
      : await this.#verify(topic, records, sent.records)
    await this.#client.deleteTopic(topic)
    const latency = order.callsInFlight === 1 ? { latency: latencies.summary() } : {}
    const counted = load.unstamped ? { countedOnly: true } : {}
    return { ...figures, records: sent.records, recordBytes, ...latency, refused: 0, faults, ...counted }
  }

  /** Carried out by this process, or by a program of its own. */
  async #load(
    order: AppendOrder,
    topic: string,
    { records, template, latencies }: Pick<Filled, 'records' | 'template'> & { readonly latencies: Histogram },
  ): Promise<Load> {
    const program = await this.#client.loadPrograms?.[order.way]?.(topic)
    if (program !== undefined) {
      const { unstamped } = program
      return { unstamped, run: () => program.run({ ...order, template }), close: () => program.close() }
    }
    const appender = await this.#appender(order.way, topic)
    const run = async (): Promise<{ records: number }> => ({
      records: await appendFor(appender, records, order, latencies),
    })
    return { run, close: () => appender.close() }
  }

  async read(order: ReadOrder, metered: Metered, window?: Window): Promise<Measured> {
    const filled = await this.#fill(order)
    if (window === undefined) return await this.#read(order, filled, metered)
    // Connections and the compiler, as a first turn of many would do.
    await this.#read(order, filled, metered)
    const leader = await this.#client.leader(filled.topic)
    await window('begin', leader)
    const turns: Measured[] = []
    const endMs = performance.now() + (order.durationMs ?? 0)
    do turns.push(await this.#read(order, filled, metered))
    while (performance.now() < endMs)
    await window('end', leader)
    return turns.reduce(together)
  }

  async #read(order: ReadOrder, filled: Filled, metered: Metered): Promise<Measured> {
    const program = this.#client.readPrograms?.[order.way]
    if (program !== undefined) return await this.#readByProgram(program, order, filled, metered)
    const { topic, records } = filled
    const read = wayOf(this.#client.reads, order.way)
    const check = new SequenceCheck(records, order.records)
    const turn = new ReadTurn(metered)
    const onRecord = (partition: number, value: Uint8Array): void => {
      turn.seen()
      check.see(partition, value)
      if (check.total === order.records) turn.end()
    }
    await unlessSilent(
      read(topic, onRecord, () => check.total >= order.records),
      () => check.total,
    )
    return { ...turn.figures(), recordBytes: order.recordBytes, refused: 0, faults: check.faults() }
  }

  async #readByProgram(
    program: ReadProgram,
    { way, recordBytes, records }: ReadOrder,
    { topic, template }: Filled,
    metered: Metered,
  ): Promise<Measured> {
    const readAll = async (): Promise<Measured> => {
      let meter: Meter | undefined
      const expected = { template, records, silenceMs: SILENCE_MS }
      const { faults, ...own } = await program(topic, expected, () => {
        meter = new Meter(metered)
      })
      if (meter === undefined) throw new Error(`${way} has read ${topic} without saying when it began`)
      return { ...meter.figures(own), records: own.records, recordBytes, refused: 0, faults }
    }
    // This process reads back everything that was appended before: its compiler knows how.
    if (!this.#warm.has(way)) await readAll()
    this.#warm.add(way)
    return await readAll()
  }

  async #fill({ recordBytes, records: count, fillWay }: ReadOrder): Promise<Filled> {
    const known = this.#filled.get(recordBytes)
    if (known !== undefined) return known
    const topic = await this.#newTopic(1)
    const template = randomBytes(recordBytes)
    const records = new StampedRecords(recordBytes, template)
    const appender = await this.#appender(fillWay, topic)
    const limits = { partitions: 1, durationMs: Number.POSITIVE_INFINITY, recordsMax: count }
    await appendFor(appender, records, limits, new Histogram())
    await appender.close()
    const filled = { topic, records, template }
    this.#filled.set(recordBytes, filled)
    return filled
  }

  async pace(order: PaceOrder, metered: Metered): Promise<Measured> {
    const { pace, recordBytes } = order
    const topic = await this.#newTopic(1)
    const records = new StampedRecords(recordBytes)
    const appender = await this.#appender(order.way, topic)
    // Connections, caches and the compiler, before anything counts.
    const warmUp = Math.min(pace.records, pace.ratePerSecond)
    const check = new SequenceCheck(records, warmUp + pace.records)
    const [arrivals, acknowledgements] = [new Histogram(), new Histogram()]
    // NaN: it has arrived.
    const dueMs = new Float64Array(warmUp + pace.records)
    const acknowledged: boolean[] = []
    const stop = await this.#client.follow(topic, (partition, value) => {
      check.see(partition, value)
      const sequence = records.sequenceOf(value) ?? -1
      const due = dueMs[sequence] ?? Number.NaN
      if (Number.isNaN(due)) return
      if (sequence >= warmUp) arrivals.record(performance.now() - due)
      dueMs[sequence] = Number.NaN
    })
    const clock = { now: () => performance.now(), sleep }
    const pending = new Set<Promise<void>>()
    const send = (sequence: number, due: number): void => {
      dueMs[sequence] = due
      const settled = appender.send([{ partition: 0, value: records.make(sequence) }]).then(
        () => {
          acknowledged[sequence] = true
          if (sequence >= warmUp) acknowledgements.record(performance.now() - due)
        },
        () => {
          acknowledged[sequence] = false
        },
      )
      pending.add(settled)
      void settled.then(() => pending.delete(settled))
    }
    await openLoop({ ...pace, records: warmUp }, clock, send)
    const meter = new Meter(metered)
    await openLoop(pace, clock, (record, due) => send(warmUp + record, due))
    const figures = meter.figures()
    await Promise.race([Promise.all(pending), sleep(ARRIVAL_MS)])
    const deadlineMs = performance.now() + ARRIVAL_MS
    while (check.total < warmUp + pace.records && performance.now() < deadlineMs) await sleep(10)
    // One that has not come is not one that counts for nothing.
    for (const due of dueMs.subarray(warmUp)) if (!Number.isNaN(due)) arrivals.record(performance.now() - due)
    await stop()
    await appender.close()
    const count = warmUp + pace.records
    const isSafe = (sequence: number): boolean => acknowledged[sequence] === true
    const faults = await this.#verify(topic, records, count, isSafe)
    await this.#client.deleteTopic(topic)
    const refused = count - acknowledged.filter(Boolean).length
    const latency = arrivals.summary()
    return {
      ...figures,
      records: pace.records,
      recordBytes,
      latency,
      acknowledged: acknowledgements.summary(),
      refused,
      faults,
    }
  }

  /**
   * @param leading told which node leads when records are flowing
   * @param killed when that node was killed, by the clock that all processes share
   */
  async failover(order: FailoverOrder, leading: (node: number) => void, killed: Promise<number>): Promise<Measured> {
    const topic = await this.#newTopic(1)
    const records = new StampedRecords(order.recordBytes)
    const appender = await this.#client.retrying(topic)
    const acknowledged: boolean[] = []
    let killedMs: number | undefined
    let nextMs: number | undefined
    void killed.then(atMs => {
      killedMs = atMs
    })
    leading(await this.#client.leader(topic))
    const startedMs = monotonicMs()
    while (nextMs === undefined || monotonicMs() - nextMs < AFTER_FAILOVER_MS) {
      if (monotonicMs() - startedMs > FAILOVER_LIMIT_MS)
        throw new Error('no acknowledgement within a minute of the kill')
      const sequence = acknowledged.length
      acknowledged[sequence] = await appender.send([{ partition: 0, value: records.make(sequence) }]).then(
        () => true,
        () => sleep(AFTER_REFUSAL_MS, false),
      )
      // What the dead node had written to its socket arrives at once; no failover is that fast.
      const late = killedMs !== undefined && monotonicMs() - killedMs > AFTER_REFUSAL_MS
      if (acknowledged[sequence] && late) nextMs ??= monotonicMs()
    }
    await appender.close()
    this.#leftover = { topic, records, acknowledged }
    const refused = acknowledged.filter(safe => !safe).length
    const facts = { records: acknowledged.length, recordBytes: order.recordBytes, ms: monotonicMs() - startedMs }
    return { ...facts, failoverMs: nextMs - killedMs!, refused, faults: NO_FAULTS }
  }

  async verify(): Promise<Measured> {
    const leftover = this.#leftover
    if (leftover === undefined) throw new Error('there was no failover to be verified')
    const { topic, records, acknowledged } = leftover
    const isSafe = (sequence: number): boolean => acknowledged[sequence] === true
    const faults = await this.#verify(topic, records, acknowledged.length, isSafe)
    await this.#client.deleteTopic(topic)
    return { records: acknowledged.length, recordBytes: records.recordBytes, ms: 0, refused: 0, faults }
  }

  /** Reads everything back. Records that are stored beyond those that were sent are read too, and count as faults. */
  async #verify(
    topic: string,
    records: StampedRecords,
    sent: number,
    isSafe?: (sequence: number) => boolean,
  ): Promise<Faults> {
    const stored = await this.#client.stored?.(topic)
    const check = new SequenceCheck(records, sent, isSafe)
    const [read] = Object.values(this.#client.reads)
    const onRecord = (partition: number, value: Uint8Array): void => check.see(partition, value)
    const done = (): boolean => check.total >= (stored ?? Number.POSITIVE_INFINITY)
    if (stored !== 0) await unlessSilent(read!(topic, onRecord, done), () => check.total)
    if (stored !== undefined && check.total !== stored)
      throw new Error(`${topic} has ${stored} records, and ${check.total} were read`)
    return check.faults()
  }

  /** Of records that cannot be told from others. */
  async #verifyCount(topic: string, sent: number): Promise<Faults> {
    const stored = await this.#client.stored?.(topic)
    if (stored === undefined) throw new Error(`nothing counts the records of ${topic}`)
    return { ...NO_FAULTS, lost: Math.max(0, sent - stored), foreign: Math.max(0, stored - sent) }
  }

  async #newTopic(partitions: number): Promise<string> {
    this.#serial++
    // Another process of this client may have been here before.
    const topic = `bench-${process.pid}-${this.#serial}`
    await this.#client.createTopic(topic, partitions)
    return topic
  }

  #appender(way: string, topic: string): Promise<Appender> {
    return wayOf(this.#client.appends, way)(topic)
  }
}

function wayOf<T>(ways: Readonly<Record<string, T>>, name: string): T {
  const way = ways[name]
  if (way === undefined) throw new Error(`the client has no way ${name}; there are ${Object.keys(ways).join(', ')}`)
  return way
}

/** @returns the number of records that were sent; all of them are acknowledged */
async function appendFor(
  appender: Appender,
  records: StampedRecords,
  order: Pick<AppendOrder, 'partitions' | 'callsInFlight' | 'durationMs' | 'recordsMax'>,
  latencies: Histogram,
): Promise<number> {
  const { partitions, callsInFlight = appender.callsInFlight } = order
  const limitMs = performance.now() + order.durationMs
  // The last record of a stream is sent by other means.
  const countMax = Math.floor(order.recordsMax) - (appender.last === undefined ? 0 : 1)
  let sent = 0
  let failed = false
  const next = (): { partition: number; value: Buffer } => {
    const sequence = sent++
    return { partition: sequence % partitions, value: records.make(sequence) }
  }
  const worker = async (): Promise<void> => {
    while (!failed && sent < countMax) {
      const beganMs = performance.now()
      if (beganMs >= limitMs) return
      const call = Array.from({ length: Math.min(appender.callRecords, countMax - sent) }, next)
      await appender.send(call)
      latencies.record(performance.now() - beganMs)
    }
  }
  try {
    await Promise.all(Array.from({ length: callsInFlight }, worker))
  } finally {
    failed = true
  }
  await appender.last?.(next())
  return sent
}

/** Waits for a read, but not for ever: one that lacks records would never end. */
async function unlessSilent(reading: Promise<void>, progress: () => number): Promise<void> {
  let newest = progress()
  let changedMs = performance.now()
  const ended = reading.then(() => true)
  // It may still fail when nobody waits for it any more.
  ended.catch(() => undefined)
  while (!(await Promise.race([ended, sleep(100, false)]))) {
    if (progress() !== newest) {
      newest = progress()
      changedMs = performance.now()
    } else if (performance.now() - changedMs > SILENCE_MS) return
  }
}
