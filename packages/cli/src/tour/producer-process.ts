/**
 * The producer of the tour, a process of its own: deals the lines to the partitions in turn, keeps several batches in
 * flight to each, and writes down every acknowledgement. A line is acknowledged only when the SDK says so.
 */
import { bytes, connect, type Topic } from '@millrace/client'
import { describeError } from '../cli-error.ts'
import { type Corpus, loadCorpus } from './corpus.ts'
import { digestOf, type LedgerWriter, writeLedger } from './ledger.ts'
import { monotonicMs, type SentBatch } from './timeline.ts'
import { type ToProducer, type TourJob, tellTour } from './tour-messages.ts'
import { runTourWorker } from './tour-worker.ts'

const BATCH_LINES = 50
/** Below the number that brokers allow, so that none waits inside the SDK. */
const BATCHES_IN_FLIGHT = 4

class TourProducer {
  private readonly job: TourJob
  private readonly corpus: Corpus
  private readonly ledger: LedgerWriter
  private readonly topic: Topic<Uint8Array>
  /** Unacknowledged batches per partition. */
  private readonly inflight: number[]
  private readonly sent: SentBatch[] = []
  private readonly failures: string[] = []
  private readonly mayGoOn = Promise.withResolvers<void>()
  private acknowledged = 0
  private saidUnderway = false

  constructor(job: TourJob, topic: Topic<Uint8Array>) {
    this.job = job
    this.topic = topic
    this.corpus = loadCorpus(job.input, job.lines)
    this.ledger = writeLedger(job.ledger)
    this.inflight = Array.from({ length: job.partitions }, () => 0)
  }

  handle(message: ToProducer): void {
    switch (message.type) {
      case 'continue':
        this.mayGoOn.resolve()
        return
      case 'report':
        void tellTour({ type: 'inflight', batches: this.inflight })
        return
    }
  }

  async run(): Promise<void> {
    await Promise.all(this.inflight.map((_, partition) => this.fillPartition(partition)))
    await this.ledger.close()
    await tellTour({ type: 'done', batches: this.sent, failures: this.failures })
  }

  /** Appends every line of a partition in order, with a window of batches. */
  private async fillPartition(partition: number): Promise<void> {
    const { length } = this.corpus
    const window = new Set<Promise<void>>()
    let sequences: number[] = []
    for (let sequence = partition; sequence < length; sequence += this.job.partitions) {
      sequences.push(sequence)
      if (sequences.length < BATCH_LINES && sequence + this.job.partitions < length) continue
      if (sequence > length / 2) await this.mayGoOn.promise
      while (window.size >= BATCHES_IN_FLIGHT) await Promise.race(window)
      const batch = this.append(partition, sequences).finally(() => window.delete(batch))
      window.add(batch)
      sequences = []
    }
    await Promise.all(window)
  }

  private async append(partition: number, sequences: readonly number[]): Promise<void> {
    const lines = sequences.map(sequence => this.corpus.line(sequence))
    const sentAt = monotonicMs()
    this.inflight[partition]! += 1
    try {
      const results = await this.topic.appendMany(lines.map(value => ({ value, partition })))
      this.sent.push({ partition, records: lines.length, sentAt, acknowledgedAt: monotonicMs() })
      for (const [at, result] of results.entries())
        this.ledger.add({ partition, offset: result.offset, sequence: sequences[at]!, digest: digestOf(lines[at]!) })
      this.acknowledged += lines.length
      if (!this.saidUnderway && this.acknowledged > this.corpus.length / 3) {
        this.saidUnderway = true
        void tellTour({ type: 'underway' })
      }
    } catch (error) {
      this.failures.push(`lines ${sequences[0]} and on, partition ${partition}: ${describeError(error)}`)
    } finally {
      this.inflight[partition]! -= 1
    }
  }
}

await runTourWorker(async job => {
  const client = connect(job.urls)
  const producer = new TourProducer(job, client.topic(job.topic, { value: bytes }))
  process.on('message', (message: ToProducer) => producer.handle(message))
  await producer.run()
  await client.close()
})
