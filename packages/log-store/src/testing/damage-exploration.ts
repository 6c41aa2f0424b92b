/**
 * Damages one file of what a recorded workload left, and opens it: damage may be refused or answered by name, and may
 * cost the end where it looks like a crash, which is told; nothing wrong is ever returned and nothing else is lost in silence.
 */
import type { GroupLog } from '../log-store.ts'
import { decodeRoundRecord } from '../round-record.ts'
import { CRASH_GROUP, CrashModel, CrashViolation } from './crash-model.ts'
import { type CrashOptions, crashOptions, runUntilStop, WORKLOAD_NAMES, type WorkloadName } from './crash-workloads.ts'
import { FaultDisk, type Random, seededRandom } from './fault-disk.ts'
import { openOn } from './store-on.ts'

const SECTOR_BYTES = 512

interface Damage {
  readonly name: string
  /** Nothing comes after it, so it cannot be told from a log that ended there: the mark says what is missing. */
  readonly isCut?: boolean
  readonly apply: (bytes: Uint8Array, random: Random) => Uint8Array
}

const DAMAGES: readonly Damage[] = [
  {
    name: 'a flipped bit',
    apply: (bytes, random) => {
      bytes[below(bytes.length, random)]! ^= 1 << below(8, random)
      return bytes
    },
  },
  { name: 'a sector of zeroes', apply: (bytes, random) => fillSector(bytes, random, () => 0) },
  { name: 'a sector of garbage', apply: (bytes, random) => fillSector(bytes, random, () => below(256, random)) },
  { name: 'a cut', isCut: true, apply: (bytes, random) => bytes.slice(0, below(bytes.length, random)) },
]

/** What a workload left: the frames that were acknowledged, and how many of them are not of the last round. */
interface Remains {
  readonly disk: FaultDisk
  readonly model: CrashModel
  readonly options: CrashOptions
  readonly framesBeforeLastRound: number
}

/**
 * Damages what each workload left, `count` times in all.
 *
 * @returns how many damaged disks were opened
 * @throws CrashViolation naming the first that returned something wrong or lost something in silence
 */
export async function exploreDamage(seed: number, count: number): Promise<number> {
  const random = seededRandom(seed)
  const remains = new Map<WorkloadName, Remains>()
  for (const workload of WORKLOAD_NAMES) remains.set(workload, await run(workload, seed))
  for (let at = 0; at < count; at++) {
    const workload = WORKLOAD_NAMES[at % WORKLOAD_NAMES.length]!
    await visit(workload, remains.get(workload)!, random)
  }
  return count
}

async function run(workload: WorkloadName, seed: number): Promise<Remains> {
  const disk = new FaultDisk(seededRandom(seed))
  const model = new CrashModel()
  const options = crashOptions(seed)
  await runUntilStop(disk, workload, model, options)
  const { frames, base } = model.newest
  return { disk, model, options, framesBeforeLastRound: Math.min(frames.length, firstOfLastRound(disk) - base - 1) }
}

/** Index of the first entry of the newest round. */
function firstOfLastRound(disk: FaultDisk): number {
  const newest = segments(disk).at(-1)
  if (newest === undefined) return Number.POSITIVE_INFINITY
  const bytes = disk.contentOf(newest)
  for (let at = bytes.length - SECTOR_BYTES; at > 0; at -= SECTOR_BYTES) {
    const record = decodeRoundRecord(bytes.subarray(at))
    if (typeof record !== 'string' && record.position === at) return record.firstIndex
  }
  return Number.POSITIVE_INFINITY
}

function segments(disk: FaultDisk): string[] {
  const names = disk.files().filter(path => path.startsWith(`log/groups/${CRASH_GROUP}/`) && path.endsWith('.log'))
  return names.toSorted()
}

async function visit(workload: WorkloadName, remains: Remains, random: Random): Promise<void> {
  const paths = remains.disk
    .files()
    .filter(path => !path.startsWith('log/trash/') && remains.disk.contentOf(path).length > 0)
  const path = paths[below(paths.length, random)]!
  const damage = DAMAGES[below(DAMAGES.length, random)]!
  const disk = remains.disk.clone()
  disk.replace(path, damage.apply(Uint8Array.from(disk.contentOf(path)), random))
  const wrong = await judge(disk, remains, damage)
  if (wrong !== null) throw new CrashViolation(`${workload}, ${damage.name} in ${path}: ${wrong}`)
}

/** Why what is found in a damaged folder breaks a promise, or null. */
async function judge(
  disk: FaultDisk,
  { model, options, framesBeforeLastRound }: Remains,
  { isCut }: Damage,
): Promise<string | null> {
  const before = segments(disk).map(path => disk.contentOf(path).length)
  const store = await openOn(disk, options)
  const [log] = store.groups()
  if (log === undefined) {
    if (store.refused().length === 0) return 'the group vanished in silence'
    const after = segments(disk).map(path => disk.contentOf(path).length)
    return after.join() === before.join() ? null : 'files of a refused log were changed'
  }
  if (log.base.index !== model.newest.base) return `the log starts at ${log.base.index}, not at ${model.newest.base}`
  const { read, stoppedBy } = await readUntilDamage(log)
  const { frames } = model.newest
  if (read.some((frame, at) => frame !== frames[at])) return 'a frame was returned that was never written there'
  if (stoppedBy !== null) return stoppedBy.includes('DAMAGED') ? null : `a read failed with ${stoppedBy}`
  if (read.length === frames.length) return null
  if (read.length < framesBeforeLastRound && isCut !== true)
    return `${frames.length - read.length} entries were lost, not refused`
  return log.recovered.uncertainUntil === undefined ? 'the end was lost in silence' : null
}

async function readUntilDamage(log: GroupLog): Promise<{ read: readonly string[]; stoppedBy: string | null }> {
  const read: string[] = []
  try {
    for (let next = log.base.index + 1; next <= log.end.index; ) {
      const frames = await log.read(next, log.end.index + 1, 1)
      for (const frame of frames) read.push(Buffer.from(frame.bytes).toString('hex'))
      next += frames.length
    }
  } catch (error) {
    return { read, stoppedBy: error instanceof Error && 'code' in error ? String(error.code) : String(error) }
  }
  return { read, stoppedBy: null }
}

function fillSector(bytes: Uint8Array, random: Random, next: () => number): Uint8Array {
  const start = below(Math.ceil(bytes.length / SECTOR_BYTES), random) * SECTOR_BYTES
  for (let at = start; at < Math.min(bytes.length, start + SECTOR_BYTES); at++) bytes[at] = next()
  return bytes
}

function below(limit: number, random: Random): number {
  return Math.floor(random() * limit)
}
