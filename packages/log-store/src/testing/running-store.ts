/** A store on a disk and a clock of its own, with one new log and a source of frames for it. */
import type { GroupLog, LogStore } from '../log-store.ts'
import type { SegmentedLogStoreOptions } from '../segmented-log-store.ts'
import { FaultDisk, seededRandom } from './fault-disk.ts'
import { ManualClock } from './manual-clock.ts'
import { openOn } from './store-on.ts'
import { TestLog, testBase } from './test-log.ts'

export interface RunningStore {
  readonly disk: FaultDisk
  readonly clock: ManualClock
  readonly store: LogStore
  readonly log: GroupLog
  readonly source: TestLog
}

export async function runningStore(options: Partial<SegmentedLogStoreOptions>): Promise<RunningStore> {
  const disk = new FaultDisk(seededRandom(1))
  const clock = new ManualClock()
  const store = await openOn(disk, { clock, ...options })
  const log = await store.create(1, { replicaId: 9, base: testBase() })
  return { disk, clock, store, log, source: new TestLog(1, log.base) }
}
