/** Opens a segmented store for a test: small segments, no timers, every problem an error but damage, which reads tell. */
import { LogError, type LogStore } from '../log-store.ts'
import { openSegmentedLogStore, type SegmentedLogStoreOptions } from '../segmented-log-store.ts'
import type { FaultDisk } from './fault-disk.ts'
import { ManualClock } from './manual-clock.ts'

export const STORE_DIR = 'log'

export function openOn(disk: FaultDisk, options: Partial<SegmentedLogStoreOptions> = {}): Promise<LogStore> {
  return openSegmentedLogStore({
    dir: STORE_DIR,
    disk,
    clock: new ManualClock(),
    random: bytes => {
      for (let at = 0; at < bytes.length; at++) bytes[at] = disk.operations >>> (8 * (at % 4))
    },
    segmentBytesMax: 3_000,
    tailCacheBytesMax: 1_000,
    diskReserveBytes: 0,
    onFatal: error => {
      throw error
    },
    onProblem: error => {
      if (!(error instanceof LogError && error.code === 'DAMAGED')) throw error
    },
    ...options,
  })
}
