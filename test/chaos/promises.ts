/** Opens what a writer left and compares it with what it was told is durable. */
import { type LogStore, openSegmentedLogStore } from '../../packages/log-store/src/index.ts'
import { readAll, TestLog, testBase } from '../../packages/log-store/src/testing/index.ts'
import { entriesAfter, WRITER_GROUP, WRITER_SEGMENT_BYTES_MAX } from './writer.ts'
import type { Acknowledged } from './writer-process.ts'

/**
 * @returns what is there now, which is promised to the next process
 * @throws an error naming the first broken promise
 */
export async function assertPromises(dir: string, promised: Acknowledged): Promise<Acknowledged> {
  const store = await openSegmentedLogStore({
    dir,
    diskReserveBytes: 0,
    segmentBytesMax: WRITER_SEGMENT_BYTES_MAX,
    onFatal: error => {
      throw error
    },
  })
  try {
    return await compare(store, promised)
  } finally {
    await store.close()
  }
}

async function compare(store: LogStore, { index, term, base }: Acknowledged): Promise<Acknowledged> {
  const [refused] = store.refused()
  if (refused !== undefined) throw refused.reason
  const [log] = store.groups()
  if (log === undefined && index > testBase().index) throw new Error('the group is gone')
  if (log === undefined) return { index, term, base }
  const { ballot, uncertainUntil } = log.recovered
  if (log.end.index < index) throw new Error(`entry ${index} was acknowledged; the log ends at ${log.end.index}`)
  if (uncertainUntil !== undefined) throw new Error('the log ends below its mark')
  if (ballot.term < term) throw new Error(`a ballot of term ${term} was acknowledged; found is term ${ballot.term}`)
  if (log.base.index < base) throw new Error(`a trim to ${base} was acknowledged; the log starts at ${log.base.index}`)
  const source = new TestLog(WRITER_GROUP, testBase())
  entriesAfter(source, log.base.index - testBase().index)
  const found = await readAll(log)
  for (const [at, frame] of entriesAfter(source, found.length).entries()) {
    if (Buffer.compare(found[at]!, frame.bytes) !== 0) throw new Error(`entry ${frame.header.index} has other bytes`)
  }
  return { index: log.end.index, term: ballot.term, base: log.base.index }
}
