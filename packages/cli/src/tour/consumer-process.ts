/** The consumer of the tour, a process of its own: reads every partition from its start to its end and writes it down. */
import { bytes, connect } from '@millrace/client'
import { LIFELINE_FD, watchLifeline } from '../process/lifeline.ts'
import { sequenceOf } from './corpus.ts'
import { digestOf, writeLedger } from './ledger.ts'
import { tellTour, tourJob } from './tour-messages.ts'

watchLifeline(LIFELINE_FD)
const job = tourJob()
const client = connect(job.urls)
const topic = client.topic(job.topic, { value: bytes })
const ledger = writeLedger(job.ledger)
let records = 0
for await (const batch of topic.read({ from: 'earliest' })) {
  for (const record of batch.records) {
    const value = record.valueBytes ?? new Uint8Array()
    ledger.add({
      sequence: sequenceOf(value),
      partition: record.partition,
      offset: record.offset,
      digest: digestOf(value),
    })
    records += 1
  }
}
await ledger.close()
await tellTour({ type: 'done', records })
await client.close()
process.disconnect()
