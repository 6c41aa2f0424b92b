/** The consumer of the tour, a process of its own: reads every partition from its start to its end and writes it down. */
import { bytes, connect } from '@millrace/client'
import { sequenceOf } from './corpus.ts'
import { digestOf, writeLedger } from './ledger.ts'
import { tellTour } from './tour-messages.ts'
import { runTourWorker } from './tour-worker.ts'

await runTourWorker(async job => {
  const client = connect(job.urls)
  const topic = client.topic(job.topic, { value: bytes })
  const ledger = writeLedger(job.ledger)
  let records = 0
  for await (const batch of topic.read({ from: 'earliest' })) {
    for (const { valueBytes, partition, offset } of batch.records) {
      const value = valueBytes ?? new Uint8Array()
      ledger.add({ sequence: sequenceOf(value), partition, offset, digest: digestOf(value) })
      records += 1
    }
  }
  await ledger.close()
  await tellTour({ type: 'done', records })
  await client.close()
})
