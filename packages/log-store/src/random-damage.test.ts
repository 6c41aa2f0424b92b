/**
 * A log in use on a disk that rots under it: appends, replaced suffixes, trims, resets, restarts and patches in random
 * order, with damage between. Every read is right or names its hole; patched from the model, the log is the model.
 */
import type { Frame } from '@millrace/record'
import { expect, test } from 'vitest'
import { positionAfter } from './frame-sequence.ts'
import { type BaseRecord, type GroupLog, LogDamaged, type LogPosition, type LogStore } from './log-store.ts'
import { decodeRoundRecord } from './round-record.ts'
import { FaultDisk, openOn, type Random, seededRandom, TestLog, testBase, written } from './testing/index.ts'

const GROUP = 5
const STEPS = 60
const SEEDS = 150

class Run {
  readonly #random: Random
  readonly counts = { damages: 0, holes: 0, patches: 0, refused: 0, inside: 0 }
  #disk: FaultDisk
  #store: LogStore | undefined
  #log: GroupLog | undefined
  #base: BaseRecord = testBase()
  #frames: Frame[] = []
  #term = 1
  /** A log that is refused by name has nothing more to show. */
  over = false

  constructor(seed: number) {
    this.#random = seededRandom(seed)
    this.#disk = new FaultDisk(seededRandom(seed + 1))
  }

  get log(): GroupLog {
    return this.#log!
  }

  async start(): Promise<void> {
    this.#store = await this.#open()
    this.#log = await this.#store.create(GROUP, { replicaId: 9, base: this.#base })
  }

  async step(): Promise<void> {
    const luck = this.#random()
    if (luck < 0.4) await this.#append(this.#end())
    else if (luck < 0.46) await this.#replace()
    else if (luck < 0.48) await this.#trim()
    else if (luck < 0.485) await this.#reset()
    else if (luck < 0.57) await this.#restart()
    else if (luck < 0.82) for (let places = 1 + this.#below(3); places > 0; places--) this.#damage()
    else if (luck < 0.88) await this.#patchOne()
    else await this.check()
  }

  /** Every entry is as in the model, or in a hole that is listed. */
  async check(): Promise<void> {
    expect(this.log.end).toMatchObject(this.#end())
    for (const frame of this.#frames) {
      const { index } = frame.header
      try {
        const [found] = await this.log.read(index, index + 1, 1)
        expect(Buffer.from(found!.bytes).equals(frame.bytes)).toBe(true)
      } catch (error) {
        if (!(error instanceof LogDamaged)) throw error
        const { before, last } = error.hole
        expect(before.index < index && index <= last.index).toBe(true)
        expect(this.log.holes).toContainEqual(error.hole)
        expect([before, last]).toMatchObject([this.#at(before.index), this.#at(last.index)])
        this.counts.holes++
      }
    }
  }

  /** Patches what every read finds. What is in memory, in the tail or under a walk, may be read although it has rotted. */
  async mend(): Promise<void> {
    for (let rounds = 0; ; rounds++) {
      expect(rounds).toBeLessThan(5)
      const holes = this.counts.holes
      await this.check()
      if (this.counts.holes === holes && this.log.holes.length === 0) break
      while (this.log.holes.length > 0) await this.#patchOne()
    }
  }

  #open(): Promise<LogStore> {
    const recoveryScanBytesMin = this.#random() < 0.5 ? 0 : 1 << 20
    return openOn(this.#disk, { recoveryScanBytesMin, segmentBytesMax: 2_500, tailCacheBytesMax: 0 })
  }

  #end(): LogPosition {
    return this.#at(this.#base.index + this.#frames.length)
  }

  #at(index: number): LogPosition {
    if (index > this.#base.index) return positionAfter(this.#frames[index - this.#base.index - 1]!)
    const { term, chain, timestamp, nextOffset } = this.#base
    return { index, term, chain, timestamp, nextOffset }
  }

  async #append(after: LogPosition): Promise<void> {
    const payload = new Uint8Array(this.#below(900)).fill(this.#below(256))
    const fresh = new TestLog(GROUP, after).append(1 + this.#below(4), { payload, term: this.#term })
    const write = { frames: fresh, commit: this.#base.index, ballot: { term: this.#term, vote: 0 } }
    if (this.#crosses(after.index)) {
      this.counts.inside++
      expect(() => this.log.write(write, () => undefined)).toThrow(LogDamaged)
      return
    }
    const done = written(this.log, write)
    this.#frames = [...this.#frames.slice(0, after.index - this.#base.index), ...fresh]
    let isDone = false
    void done.then(() => {
      isDone = true
    })
    while (!isDone && !this.over) {
      await new Promise<void>(resolve => setImmediate(resolve))
      // It ran into damage that nobody had read: the group stops by name.
      this.over = this.#store!.refused().length > 0
    }
    if (this.over) this.counts.refused++
  }

  async #replace(): Promise<void> {
    const kept = this.#anyIndex()
    // What is not known yet must be before it is relied on: a read of the entry that is kept, as a host does.
    if (kept > this.#base.index) await this.log.read(kept, kept + 1, 1).catch(onlyDamage)
    this.#term++
    await this.#append(this.#at(kept))
  }

  async #trim(): Promise<void> {
    const index = this.#anyIndex()
    if (index <= this.#base.index) return
    const base = { ...this.#base, ...this.#at(index) }
    try {
      await this.log.trimPrefix(base)
    } catch (error) {
      onlyDamage(error)
      this.counts.inside++
      expect(this.#crosses(index)).toBe(true)
      return
    }
    this.#frames = this.#frames.slice(index - this.#base.index)
    this.#base = base
  }

  async #reset(): Promise<void> {
    const end = this.#end()
    const index = Math.max(1, end.index + this.#below(8) - 4)
    const base = { ...this.#base, index, term: this.#term, chain: this.#below(1_000), timestamp: end.timestamp }
    this.#base = { ...base, nextOffset: end.nextOffset }
    this.#frames = []
    await this.log.reset(this.#base)
    expect(this.log.holes).toEqual([])
  }

  async #restart(): Promise<void> {
    const luck = this.#random()
    if (luck < 0.5) await this.#store!.close()
    else if (luck < 0.75) this.#disk = this.#disk.losePower()
    else this.#disk = this.#disk.kill()
    this.#store = await this.#open()
    this.#log = this.#store.groups()[0]
    if (this.#log !== undefined) return
    // Two damages that meet leave the ends of what is missing unknown.
    expect(this.#store.refused()).toMatchObject([{ group: GROUP, reason: { code: 'DAMAGED' } }])
    expect(this.counts.damages).toBeGreaterThan(1)
    this.counts.refused++
    this.over = true
  }

  /** Flips a bit of a segment or a patch, but not where it would cost the end of the log. */
  #damage(): void {
    const folder = `log/groups/${GROUP}`
    const files = this.#disk.files().filter(path => path.startsWith(folder) && /\.(log|patch)$/.test(path))
    const path = files[this.#below(files.length)]
    if (path === undefined) return
    const bytes = this.#disk.contentOf(path)
    const at = this.#below(bytes.length)
    if (at >= safeBytes(bytes) || (path.endsWith('.log') && at < 512 && this.#isNewest(path, files))) return
    bytes[at]! ^= 1 << this.#below(8)
    this.counts.damages++
  }

  /** Of any generation: the name that is last by either. */
  #isNewest(path: string, files: readonly string[]): boolean {
    const logs = files.filter(file => file.endsWith('.log'))
    const byGeneration = logs.toSorted((a, b) => a.slice(-12).localeCompare(b.slice(-12)) || a.localeCompare(b))
    return path === byGeneration.at(-1) || path === logs.toSorted().at(-1)
  }

  async #patchOne(): Promise<void> {
    const { holes } = this.log
    const hole = holes[this.#below(holes.length)]
    if (hole === undefined) return
    const from = hole.before.index - this.#base.index
    const lost = this.#frames.slice(from, hole.last.index - this.#base.index)
    const forged = new TestLog(GROUP, hole.before).append(lost.length, { term: hole.last.term })
    expect(await this.log.patch(forged)).toBe(false)
    expect(await this.log.patch(lost)).toBe(true)
    expect(this.log.holes).not.toContainEqual(hole)
    this.counts.patches++
  }

  #crosses(index: number): boolean {
    return this.log.holes.some(({ before, last }) => before.index < index && index < last.index)
  }

  #anyIndex(): number {
    return this.#base.index + this.#below(this.#frames.length + 1)
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }
}

function onlyDamage(error: unknown): void {
  if (!(error instanceof LogDamaged)) throw error
}

/** Up to where the last round of a segment starts; all of a file without rounds after its first sector. */
function safeBytes(bytes: Uint8Array): number {
  for (let at = Math.floor((bytes.length - 1) / 512) * 512; at > 512; at -= 512) {
    const record = decodeRoundRecord(bytes.subarray(at))
    if (typeof record !== 'string' && record.position === at) return at
  }
  return 0
}

test('a log in use on a disk that rots', { timeout: 120_000 }, async () => {
  const sums = { damages: 0, holes: 0, patches: 0, refused: 0, inside: 0 }
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = new Run(seed)
    try {
      await run.start()
      for (let step = 0; step < STEPS && !run.over; step++) await run.step()
      if (!run.over) await run.mend()
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
    for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += run.counts[key]
  }
  expect(sums.damages).toBeGreaterThan(SEEDS)
  expect(sums.holes).toBeGreaterThan(SEEDS)
  expect(sums.patches).toBeGreaterThan(SEEDS / 2)
  expect(sums.inside).toBeGreaterThan(5)
  expect(sums.refused).toBeLessThan(SEEDS / 10)
})
