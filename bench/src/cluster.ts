/**
 * The whole path with real processes: three nodes on loopback, fdatasync on a majority before every acknowledgement, and
 * one client in this process. Every run reads back what it appended and counts it.
 */
import { bytes, connect, type Topic } from '@millrace/client'
import { startCluster } from '@millrace/testkit'
import { grouped, percentile } from './statistics.ts'

type BytesTopic = Topic<Uint8Array>

interface Workload {
  readonly recordBytes: number
  readonly records: number
}

const THROUGHPUT: readonly Workload[] = [
  { recordBytes: 100, records: 1_000_000 },
  { recordBytes: 1_024, records: 300_000 },
]
const QUICK_DIVISOR = 10
const CALL_RECORDS = 500

/** `pnpm bench cluster [--quick]` */
export async function benchCluster(args: readonly string[]): Promise<void> {
  const divisor = args.includes('--quick') ? QUICK_DIVISOR : 1
  await using cluster = await startCluster()
  await using client = connect(cluster.urls)
  for (const { recordBytes, records } of THROUGHPUT) {
    const name = `bench-${recordBytes}`
    await client.topics.create(name, { partitions: 1 })
    await cluster.leaders(name)
    const topic = client.topic(name, { value: bytes })
    const count = records / divisor
    await append(topic, recordBytes, count)
    await read(topic, recordBytes, count)
  }
  await client.topics.create('bench-latency', { partitions: 1 })
  await cluster.leaders('bench-latency')
  await latency(client.topic('bench-latency', { value: bytes }), 2_000 / divisor)
}

function report(name: string, recordBytes: number, count: number, ms: number): void {
  const perSecond = count / (ms / 1000)
  const rate = `${grouped(perSecond).padStart(9)} records/s ${((perSecond * recordBytes) / 1e6).toFixed(1).padStart(7)} MB/s`
  process.stdout.write(`${name.padEnd(34)}${rate}\n`)
}

async function append(topic: BytesTopic, recordBytes: number, count: number): Promise<void> {
  const value = new Uint8Array(recordBytes).fill(97)
  await topic.appendMany(Array.from({ length: CALL_RECORDS }, () => ({ value })))
  const started = performance.now()
  const calls: Promise<unknown>[] = []
  const call = Array.from({ length: CALL_RECORDS }, () => ({ value }))
  for (let sent = CALL_RECORDS; sent < count; sent += CALL_RECORDS) {
    calls.push(topic.appendMany(call))
    // A bounded number of calls in flight, as a producer with a queue would have.
    if (calls.length >= 32) await calls.shift()
  }
  await Promise.all(calls)
  report(
    `append ${recordBytes} B, ${CALL_RECORDS} per call`,
    recordBytes,
    count - CALL_RECORDS,
    performance.now() - started,
  )
}

async function read(topic: BytesTopic, recordBytes: number, count: number): Promise<void> {
  const started = performance.now()
  let seen = 0
  let sum = 0
  for await (const batch of topic.read({ from: 'earliest' })) {
    for (const { value } of batch.records) {
      seen++
      sum += value.length
    }
  }
  const ms = performance.now() - started
  if (seen !== count || sum !== count * recordBytes) throw new Error(`read ${seen} records of ${count}`)
  report(`read ${recordBytes} B`, recordBytes, count, ms)
}

async function latency(topic: BytesTopic, count: number): Promise<void> {
  const value = new Uint8Array(100)
  const samples: number[] = []
  for (let i = 0; i < count; i++) {
    const started = performance.now()
    await topic.append({ value })
    samples.push(performance.now() - started)
  }
  const p50 = percentile(samples, 0.5).toFixed(2)
  const p99 = percentile(samples, 0.99).toFixed(2)
  process.stdout.write(`append 100 B, one in flight         p50 ${p50} ms, p99 ${p99} ms\n`)
}
