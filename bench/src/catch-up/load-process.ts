/** The client of the benchmark of replacements, as a process of its own: appends, and at the end reads everything back. */

import { type Faults, NO_FAULTS, SequenceCheck, StampedRecords } from '@millrace/cli/bench'
import { bytes, connect } from '@millrace/client'
import { collectYoungBuffersFirst } from '@millrace/client/v8'

/** First argument, as JSON. */
export interface LoadSetup {
  readonly urls: readonly string[]
  readonly topic: string
  readonly recordBytes: number
  readonly callRecords: number
  readonly callsInFlight: number
}

export type LoadRequest =
  /** Appends as fast as it is answered; ends by itself after that many records more. */
  | { readonly type: 'run'; readonly recordsMax?: number }
  /** No further calls. */
  | { readonly type: 'stop' }
  | { readonly type: 'count' }
  /** Offset at which the topic's only partition starts. */
  | { readonly type: 'logStart' }
  /** Reads everything that retention has left. */
  | { readonly type: 'verify' }

export interface LoadCount {
  readonly acknowledged: number
  /** In calls that ended in an error: each may be stored or not. */
  readonly failed: number
  readonly lastError: string
  readonly running: boolean
}

collectYoungBuffersFirst()
const setup = JSON.parse(process.argv[2] ?? '') as LoadSetup
const { callRecords, callsInFlight } = setup
const client = connect(setup.urls)
const topic = client.topic(setup.topic, { value: bytes })
const records = new StampedRecords(setup.recordBytes)
/** First records of calls that failed. */
const failedCalls = new Set<number>()
let next = 0
let end = 0
let open = 0
let acknowledged = 0
let lastError = ''

function fill(): void {
  while (open < callsInFlight && next < end) {
    const first = next
    next += callRecords
    open += 1
    const call = Array.from({ length: callRecords }, (_, i) => ({ value: records.make(first + i) }))
    topic.appendMany(call).then(
      () => settled(() => (acknowledged += callRecords)),
      (error: unknown) =>
        settled(() => {
          failedCalls.add(first)
          lastError = String(error)
        }),
    )
  }
}

function settled(count: () => void): void {
  count()
  open -= 1
  fill()
}

async function verify(): Promise<Faults> {
  // Records are in the order of their numbers: those before the first that is there are gone by retention.
  let first = Number.POSITIVE_INFINITY
  const isDue = (sequence: number): boolean =>
    sequence >= first && !failedCalls.has(sequence - (sequence % callRecords))
  const check = new SequenceCheck(records, next, isDue)
  for await (const batch of topic.read({ from: 'earliest' })) {
    for (const record of batch.records) {
      first = Math.min(first, records.sequenceOf(record.value) ?? first)
      check.see(batch.partition, record.value)
    }
  }
  return first === Number.POSITIVE_INFINITY ? { ...NO_FAULTS, lost: acknowledged } : check.faults()
}

async function carryOut(request: LoadRequest): Promise<unknown> {
  switch (request.type) {
    case 'run':
      end = next + (request.recordsMax ?? Number.POSITIVE_INFINITY)
      return fill()
    case 'stop':
      end = next
      return undefined
    case 'count': {
      const failed = failedCalls.size * callRecords
      return { acknowledged, failed, lastError, running: open > 0 || next < end } satisfies LoadCount
    }
    case 'logStart':
      return (await client.topics.describe(setup.topic)).partitions[0]?.logStartOffset
    case 'verify':
      return await verify()
    default:
      return request satisfies never
  }
}

process.on('message', ({ id, ...request }: LoadRequest & { readonly id: number }) => {
  carryOut(request).then(
    result => process.send?.({ id, result }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
process.send?.({ id: 0 })
