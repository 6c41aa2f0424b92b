/**
 * A follower that lost its folder is replaced under load, with real processes: does it catch up, is one snapshot enough, and
 * what does it cost the others? Fails where a promise does not hold; of speed only ratios within the run are judged.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type GroupsSize, runGroups } from './catch-up/groups-run.ts'
import { type PartitionSize, runPartition } from './catch-up/partition-run.ts'
import { Promises } from './catch-up/promises.ts'

const MIB = 1024 * 1024

interface Sizes {
  readonly partition: PartitionSize
  readonly groups: GroupsSize
}

const FULL: Sizes = {
  partition: { logBytes: 1_024 * MIB, segmentBytesMax: 64 * MIB, beforeMs: 10_000, isMeasured: true },
  groups: {
    logBytes: 1_024 * MIB,
    stateBytes: 256 * MIB,
    segmentBytesMax: 64 * MIB,
    beforeMs: 10_000,
    isMeasured: true,
  },
}
const QUICK: Sizes = {
  partition: { logBytes: 64 * MIB, segmentBytesMax: 8 * MIB, beforeMs: 3_000, isMeasured: false },
  groups: {
    ...{ logBytes: 64 * MIB, stateBytes: 32 * MIB, segmentBytesMax: 4 * MIB, beforeMs: 3_000, isMeasured: false },
    // So slow that there is time to cut it; and so short that there is no minute to be waited.
    snapshots: { snapshotBytesPerSecondMax: 16 * MIB, snapshotPinMs: 5_000 },
  },
}

/** `pnpm bench catch-up [--quick] [--only partition|groups]` */
export async function benchCatchUp(args: readonly string[]): Promise<void> {
  const { partition, groups } = args.includes('--quick') ? QUICK : FULL
  const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : undefined
  const promises = new Promises()
  const parts: Readonly<Record<string, (folder: string) => Promise<void>>> = {
    partition: folder => runPartition(partition, folder, promises),
    groups: folder => runGroups(groups, folder, promises),
  }
  if (only !== undefined && parts[only] === undefined)
    throw new RangeError(`--only ${only}: there are ${Object.keys(parts).join(', ')}`)
  for (const [name, run] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue
    const folder = await mkdtemp(join(tmpdir(), 'millrace-catch-up-'))
    try {
      process.stdout.write(`${name}\n`)
      await run(folder)
    } finally {
      await rm(folder, { recursive: true })
    }
  }
  if (promises.broken > 0) process.exitCode = 1
}
