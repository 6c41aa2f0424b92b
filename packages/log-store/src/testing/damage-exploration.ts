/**
 * Damages what a recorded workload left, one file or several places of its segments, and opens it: damage may be refused by
 * name, may cost the end where it looks like a crash, which is told, or is a hole. Nothing wrong is ever returned, nothing
 * else is lost in silence, frames that do not fit a hole are refused, and those that were there mend it.
 */
import { decodeFrame, type Frame } from '@millrace/record'
import { type GroupLog, type Hole, LogDamaged } from '../log-store.ts'
import { decodeRoundRecord } from '../round-record.ts'
import { CRASH_GROUP, CrashModel, CrashViolation } from './crash-model.ts'
import { type CrashOptions, crashOptions, runUntilStop, WORKLOAD_NAMES, type WorkloadName } from './crash-workloads.ts'
import { FaultDisk, type Random, seededRandom } from './fault-disk.ts'
import { written } from './log-store-contract.ts'
import { openOn } from './store-on.ts'
import { TestLog } from './test-log.ts'

const SECTOR_BYTES = 512
/** Places of segments that are damaged at once, at most. */
const PLACES_MAX = 4

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

/** What an exploration met. */
export interface DamageCounts {
  /** Damaged disks that were opened. */
  readonly disks: number
  /** Those whose group was refused by name. */
  readonly refused: number
  /** Holes that were patched. */
  readonly patches: number
}

type MutableCounts = { -readonly [Key in keyof DamageCounts]: number }

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
 * @throws CrashViolation naming the first that returned something wrong or lost something in silence
 */
export async function exploreDamage(seed: number, count: number): Promise<DamageCounts> {
  const random = seededRandom(seed)
  const counts = { disks: 0, refused: 0, patches: 0 }
  const remains = new Map<WorkloadName, Remains>()
  for (const workload of WORKLOAD_NAMES) remains.set(workload, await run(workload, seed))
  for (let at = 0; at < count; at++) {
    const workload = WORKLOAD_NAMES[at % WORKLOAD_NAMES.length]!
    await visit(workload, remains.get(workload)!, random, counts)
  }
  return counts
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

async function visit(workload: WorkloadName, remains: Remains, random: Random, counts: MutableCounts): Promise<void> {
  counts.disks++
  const disk = remains.disk.clone()
  const paths = disk.files().filter(path => !path.startsWith('log/trash/') && disk.contentOf(path).length > 0)
  const first = paths[below(paths.length, random)]!
  const done = [hurt(disk, first, random)]
  const names = [`${done[0]!.name} in ${first}`]
  // What the mark says stays as it is then, so that no loss of the end may be silent.
  if (first.endsWith('.log') && random() < 0.5) {
    for (let more = 1 + below(PLACES_MAX - 1, random); more > 0; more--) {
      const path = segments(disk)[below(segments(disk).length, random)]!
      if (disk.contentOf(path).length === 0) continue
      const damage = hurt(disk, path, random)
      done.push(damage)
      names.push(`${damage.name} in ${path}`)
    }
  }
  const wrong = await judge(disk, remains, done, counts)
  if (wrong !== null) throw new CrashViolation(`${workload}, ${names.join(', ')}: ${wrong}`)
}

function hurt(disk: FaultDisk, path: string, random: Random): Damage {
  const damage = DAMAGES[below(DAMAGES.length, random)]!
  disk.replace(path, damage.apply(Uint8Array.from(disk.contentOf(path)), random))
  return damage
}

/** Why what is found in a damaged folder breaks a promise, or null. */
async function judge(
  disk: FaultDisk,
  remains: Remains,
  damages: readonly Damage[],
  counts: MutableCounts,
): Promise<string | null> {
  const { model, options, framesBeforeLastRound } = remains
  const { frames, base } = model.newest
  const before = segments(disk).map(path => disk.contentOf(path).length)
  const store = await openOn(disk, options)
  const [log] = store.groups()
  if (log === undefined) {
    if (store.refused().length === 0) return 'the group vanished in silence'
    counts.refused++
    const after = segments(disk).map(path => disk.contentOf(path).length)
    return after.join() === before.join() ? null : 'files of a refused log were changed'
  }
  if (log.base.index !== base) return `the log starts at ${log.base.index}, not at ${base}`
  const count = log.end.index - base
  if (count < frames.length) {
    const [damage] = damages
    if (count < framesBeforeLastRound && damages.length === 1 && damage?.isCut !== true)
      return `${frames.length - count} entries were lost, not refused`
    if (log.recovered.uncertainUntil === undefined) return 'the end was lost in silence'
  }
  const expected = frames.slice(0, count)
  return (await judgeReads(log, expected)) ?? (await judgePatches(log, expected, disk, options, counts))
}

/** Every entry is the one that was written, or in a hole that every read of it tells. */
async function judgeReads(log: GroupLog, expected: readonly string[]): Promise<string | null> {
  for (const [at, text] of expected.entries()) {
    const index = log.base.index + 1 + at
    const found = await readOne(log, index)
    if (typeof found === 'string' && found !== text) return `entry ${index} was returned as it never was`
    if (typeof found !== 'string' && !log.holes.some(hole => isSameHole(hole, found)))
      return `entry ${index} is in a hole that the log does not list`
  }
  const { holes } = log
  const known = holes.every(
    ({ before, last }, at) => before.index < last.index && (holes[at - 1]?.last.index ?? 0) <= before.index,
  )
  return known ? null : 'the holes are not in order'
}

async function readOne(log: GroupLog, index: number): Promise<string | Hole> {
  try {
    return hexOf((await log.read(index, index + 1, 1))[0]!)
  } catch (error) {
    if (!(error instanceof LogDamaged)) throw new CrashViolation(`entry ${index}: ${String(error)}`)
    const { before, last } = error.hole
    if (index <= before.index || index > last.index) throw new CrashViolation(`entry ${index}: ${error.message}`)
    return error.hole
  }
}

/** Holes take what was there and nothing else; then the log is whole, also after the next power loss. */
async function judgePatches(
  log: GroupLog,
  expected: readonly string[],
  disk: FaultDisk,
  options: CrashOptions,
  counts: MutableCounts,
): Promise<string | null> {
  counts.patches += log.holes.length
  for (const { before, last } of log.holes) {
    const from = before.index - log.base.index
    const lost = expected.slice(from, last.index - log.base.index).map(frameOf)
    const forged = new TestLog(log.group, before).append(lost.length, { payload: new Uint8Array(3), term: last.term })
    if (await log.patch(forged)) return `entries ${before.index + 1} to ${last.index} were replaced by others`
    if (await log.patch(lost.slice(1))) return `a part of entries ${before.index + 1} to ${last.index} was taken`
    if (!(await log.patch(lost))) return `entries ${before.index + 1} to ${last.index} were not taken back`
  }
  if (log.holes.length > 0) return 'a hole is left after all were patched'
  const [more] = new TestLog(log.group, log.end).append(1)
  await written(log, { frames: [more!] })
  const all = [...expected, hexOf(more!)]
  const mended = await judgeReads(log, all)
  if (mended !== null) return `after the patches ${mended}`
  const [again] = (await openOn(disk.losePower(), options)).groups()
  if (again?.end.index !== log.end.index) return 'the patched log has another end after the next power loss'
  const found = await judgeReads(again, all)
  return found ?? (again.holes.length === 0 ? null : 'a patched hole came back')
}

function isSameHole(a: Hole, b: Hole): boolean {
  return a.before.index === b.before.index && a.last.index === b.last.index && a.last.chain === b.last.chain
}

function hexOf(frame: Frame): string {
  return Buffer.from(frame.bytes).toString('hex')
}

function frameOf(text: string): Frame {
  const frame = decodeFrame(Uint8Array.from(Buffer.from(text, 'hex')))
  if (typeof frame === 'string') throw new RangeError(`a frame of the model is ${frame}`)
  return frame
}

function fillSector(bytes: Uint8Array, random: Random, next: () => number): Uint8Array {
  const start = below(Math.ceil(bytes.length / SECTOR_BYTES), random) * SECTOR_BYTES
  for (let at = start; at < Math.min(bytes.length, start + SECTOR_BYTES); at++) bytes[at] = next()
  return bytes
}

function below(limit: number, random: Random): number {
  return Math.floor(random() * limit)
}
