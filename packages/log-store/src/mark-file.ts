/**
 * The mark: how far each log is known to be durable, as a lower bound that recovery measures a log against. Two copies
 * in two files take turns, so that one is always whole. Nobody waits for a mark but a clean stop and a start.
 *
 * Invariant: an entry is noted only after the fdatasync that it speaks of has returned.
 */
import { crc32 } from '@millrace/record'
import type { Clock, Timer } from './clock.ts'
import { type Disk, type DiskFile, openIfThere, readWhole } from './disk.ts'
import type { FlushScheduler, FlushTask } from './flush-scheduler.ts'
import { getU64, Magic, openStructure, sealStructure, setU64, startStructure, viewOf } from './format.ts'
import type { StorageFaults } from './storage-faults.ts'

const HEADER_BYTES = 64
const ENTRY_BYTES = 40
const INTERVAL_MS = 1_000
const NAMES = ['mark-a', 'mark-b'] as const

export interface MarkEntry {
  /** 0: the group has no segment yet. */
  readonly generation: number
  /** Where the next round starts in the newest segment. */
  readonly position: number
  readonly lastIndex: number
  readonly lastTerm: number
}

export interface Mark {
  readonly sequence: number
  readonly clean: boolean
  readonly entries: ReadonlyMap<number, MarkEntry>
}

export class MarkFile implements FlushTask {
  readonly #files: readonly DiskFile[]
  readonly #folder: string
  readonly #clock: Clock
  readonly #scheduler: FlushScheduler
  readonly #faults: StorageFaults
  readonly #entries: Map<number, MarkEntry>
  #sequence: number
  #timer: Timer | null = null
  #due = false
  #clean = false
  #written: (() => void)[] = []

  private constructor(
    files: readonly DiskFile[],
    folder: string,
    found: Mark | null,
    clock: Clock,
    scheduler: FlushScheduler,
    faults: StorageFaults,
  ) {
    this.#files = files
    this.#folder = folder
    this.#clock = clock
    this.#scheduler = scheduler
    this.#faults = faults
    this.#entries = new Map(found?.entries)
    this.#sequence = found?.sequence ?? 0
  }

  /** Opens or makes both copies. `found` is what {@link readMark} said: the file goes on from there. */
  static async open(
    disk: Disk,
    folder: string,
    found: Mark | null,
    clock: Clock,
    scheduler: FlushScheduler,
    faults: StorageFaults,
  ): Promise<MarkFile> {
    const files: DiskFile[] = []
    try {
      for (const name of NAMES) {
        const path = `${folder}/${name}`
        files.push((await openIfThere(disk, path, 'write')) ?? (await disk.open(path, 'create')))
      }
      await disk.syncFolder(folder)
    } catch (error) {
      for (const file of files) await file.close()
      throw error
    }
    return new MarkFile(files, folder, found, clock, scheduler, faults)
  }

  get dirty(): boolean {
    return this.#due
  }

  /** Notes how far a group is durable; written within a second. */
  note(group: number, entry: MarkEntry): void {
    this.#entries.set(group, entry)
    this.#timer ??= this.#clock.after(INTERVAL_MS, () => {
      this.#timer = null
      this.#due = true
      this.#scheduler.request(this)
    })
  }

  forget(group: number): void {
    this.#entries.delete(group)
  }

  /** Writes the mark now. `clean`: the process stops after this. Resolves when it is durable. */
  write(clean: boolean): Promise<void> {
    this.#timer?.cancel()
    this.#timer = null
    this.#clean = clean
    this.#due = true
    return new Promise(resolve => {
      this.#written.push(resolve)
      this.#scheduler.request(this)
    })
  }

  async flush(): Promise<void> {
    this.#due = false
    const written = this.#written
    this.#written = []
    this.#sequence++
    const copy = this.#sequence % 2
    const bytes = encodeMark(
      { sequence: this.#sequence, clean: this.#clean, entries: this.#entries },
      this.#clock.wallMs(),
    )
    const path = `${this.#folder}/${NAMES[copy]}`
    const file = this.#files[copy]!
    if (!(await this.#faults.untilThereIsSpace(this, path, () => file.writev([bytes], 0)))) return
    if (!(await this.#faults.sync(path, () => file.datasync()))) return
    for (const done of written) done()
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = null
    for (const file of this.#files) await file.close()
  }
}

/** The newer valid copy, or null where there is none. */
export async function readMark(disk: Disk, folder: string): Promise<Mark | null> {
  let newest: Mark | null = null
  for (const name of NAMES) {
    const bytes = await readWhole(disk, `${folder}/${name}`)
    const mark = bytes === null ? null : decodeMark(bytes)
    if (mark !== null && (newest === null || mark.sequence > newest.sequence)) newest = mark
  }
  return newest
}

export function encodeMark(mark: Mark, timeMs: number): Uint8Array {
  const groups = [...mark.entries].sort(([a], [b]) => a - b)
  const bytes = new Uint8Array(HEADER_BYTES + groups.length * ENTRY_BYTES)
  const all = viewOf(bytes)
  for (const [at, [group, entry]] of groups.entries()) {
    const start = HEADER_BYTES + at * ENTRY_BYTES
    setU64(all, start, group)
    all.setUint32(start + 8, entry.generation, true)
    setU64(all, start + 16, entry.position)
    setU64(all, start + 24, entry.lastIndex)
    setU64(all, start + 32, entry.lastTerm)
  }
  const header = bytes.subarray(0, HEADER_BYTES)
  const view = startStructure(header, Magic.mark)
  view.setUint8(6, mark.clean ? 1 : 0)
  view.setUint32(8, groups.length, true)
  setU64(view, 16, mark.sequence)
  setU64(view, 24, timeMs)
  view.setUint32(56, crc32(bytes.subarray(HEADER_BYTES)), true)
  sealStructure(header)
  return bytes
}

/** Reads a copy; null where it is not whole. Bytes after it are left over from a longer one. */
export function decodeMark(bytes: Uint8Array): Mark | null {
  const view = openStructure(bytes.subarray(0, HEADER_BYTES), HEADER_BYTES, Magic.mark)
  if (typeof view === 'string') return null
  const count = view.getUint32(8, true)
  const end = HEADER_BYTES + count * ENTRY_BYTES
  if (bytes.length < end || crc32(bytes.subarray(HEADER_BYTES, end)) !== view.getUint32(56, true)) return null
  const all = viewOf(bytes)
  const entries = new Map<number, MarkEntry>()
  for (let start = HEADER_BYTES; start < end; start += ENTRY_BYTES) {
    entries.set(getU64(all, start), {
      generation: all.getUint32(start + 8, true),
      position: getU64(all, start + 16),
      lastIndex: getU64(all, start + 24),
      lastTerm: getU64(all, start + 32),
    })
  }
  return { sequence: getU64(view, 16), clean: view.getUint8(6) === 1, entries }
}
