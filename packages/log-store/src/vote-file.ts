/**
 * Term and vote of every replica of the node in one file, two copies of each in blocks that share nothing. A change is
 * answered after copy A and copy B, each with its own fdatasync, so that at any moment one copy is whole.
 *
 * Invariant: a callback runs only when what was asked, or something newer for the same group, is in both copies. Changes
 * of many groups that arrive while a write runs join the next one. Layout: docs/internals/log-format.md, "Vote file".
 */
import { type Disk, type DiskFile, openIfThere } from './disk.ts'
import type { FlushScheduler, FlushTask } from './flush-scheduler.ts'
import { LogError } from './log-store.ts'
import type { StorageFaults } from './storage-faults.ts'
import { decodeVoteSlot, encodeVoteSlot, ReplicaState, VOTE_SLOT_BYTES, type VoteSlot } from './vote-slot.ts'

const BLOCK_BYTES = 4_096
const SLOTS_PER_BLOCK: number = BLOCK_BYTES / VOTE_SLOT_BYTES
export const VOTE_FILE_NAME = 'votes'

/** What may be changed of a slot. */
export type VoteChange = Partial<
  Pick<VoteSlot, 'replicaId' | 'state' | 'term' | 'vote' | 'uncertainIndex' | 'uncertainTerm'>
>

export class VoteFile implements FlushTask {
  readonly #file: DiskFile
  readonly #path: string
  readonly #faults: StorageFaults
  readonly #scheduler: FlushScheduler
  /** Newest value per group, durable or on its way. */
  readonly #slots = new Map<number, VoteSlot>()
  readonly #blocks: Uint8Array[] = []
  /** Slots that hold nothing readable: never given to another group. */
  readonly #unreadable = new Set<number>()
  #changed = new Set<number>()
  #waiting: (() => void)[] = []
  #nextSlot = 0

  private constructor(file: DiskFile, path: string, faults: StorageFaults, scheduler: FlushScheduler) {
    this.#file = file
    this.#path = path
    this.#faults = faults
    this.#scheduler = scheduler
  }

  /** Opens or makes the file, and takes the winning copies. Nothing is written to slots yet. */
  static async open(disk: Disk, folder: string, faults: StorageFaults, scheduler: FlushScheduler): Promise<VoteFile> {
    const path = `${folder}/${VOTE_FILE_NAME}`
    const there = await openIfThere(disk, path, 'write')
    const file = there ?? (await disk.open(path, 'create'))
    try {
      if (there === null) await disk.syncFolder(folder)
      const votes = new VoteFile(file, path, faults, scheduler)
      const bytes = new Uint8Array(await file.size())
      await file.read(bytes, 0)
      votes.#load(bytes)
      return votes
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get dirty(): boolean {
    return this.#changed.size > 0
  }

  /** Every group that has a readable slot. */
  slots(): Iterable<VoteSlot> {
    return this.#slots.values()
  }

  slotOf(group: number): VoteSlot | undefined {
    return this.#slots.get(group)
  }

  /** Changes the slot of a group, which gets one where it has none. `done` runs when both copies are durable. */
  change(group: number, change: VoteChange, done: () => void): void {
    const before = this.#slots.get(group) ?? this.#newSlot(group)
    this.#slots.set(group, { ...before, ...change, sequence: before.sequence + 1 })
    this.#changed.add(group)
    this.#waiting.push(done)
    this.#scheduler.request(this, true)
  }

  /** Writes the winning values of all slots into both copies: what was read may never have reached the disk. */
  async rewriteAll(): Promise<void> {
    if (this.#slots.size === 0) return
    for (const group of this.#slots.keys()) this.#changed.add(group)
    await new Promise<void>(resolve => {
      this.#waiting.push(resolve)
      this.#scheduler.request(this, true)
    })
  }

  async flush(): Promise<void> {
    const groups = this.#changed
    const waiting = this.#waiting
    this.#changed = new Set()
    this.#waiting = []
    const blocks = this.#encode(groups)
    for (const copy of [0, 1]) {
      if (!(await this.#writeCopy(blocks, copy))) return
    }
    for (const done of waiting) if (!this.#faults.halted) done()
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** Writes one copy of the changed blocks and makes it durable; false after a fatal error. */
  async #writeCopy(blocks: ReadonlySet<number>, copy: number): Promise<boolean> {
    const write = async (): Promise<void> => {
      for (const block of blocks) {
        await this.#file.writev([this.#blocks[block]!], (2 * block + copy) * BLOCK_BYTES)
      }
    }
    if (!(await this.#faults.untilThereIsSpace(this, this.#path, write))) return false
    return this.#faults.sync(this.#path, () => this.#file.datasync())
  }

  #encode(groups: ReadonlySet<number>): ReadonlySet<number> {
    const blocks = new Set<number>()
    for (const group of groups) {
      const slot = this.#slots.get(group)!
      const block = Math.floor(slot.slot / SLOTS_PER_BLOCK)
      const at = (slot.slot % SLOTS_PER_BLOCK) * VOTE_SLOT_BYTES
      while (this.#blocks.length <= block) this.#blocks.push(new Uint8Array(BLOCK_BYTES))
      encodeVoteSlot(slot, this.#blocks[block]!.subarray(at, at + VOTE_SLOT_BYTES))
      blocks.add(block)
    }
    return blocks
  }

  #newSlot(group: number): VoteSlot {
    while (this.#unreadable.has(this.#nextSlot)) this.#nextSlot++
    const slot = this.#nextSlot++
    const nothing = {
      replicaId: 0,
      state: ReplicaState.intended,
      term: 0,
      vote: 0,
      uncertainIndex: 0,
      uncertainTerm: 0,
    }
    return { slot, sequence: 0, group, ...nothing }
  }

  #load(bytes: Uint8Array): void {
    const blocks = Math.ceil(bytes.length / (2 * BLOCK_BYTES))
    const padded = new Uint8Array(blocks * 2 * BLOCK_BYTES)
    padded.set(bytes)
    for (let slot = 0; slot < blocks * SLOTS_PER_BLOCK; slot++) {
      const at = 2 * Math.floor(slot / SLOTS_PER_BLOCK) * BLOCK_BYTES + (slot % SLOTS_PER_BLOCK) * VOTE_SLOT_BYTES
      const a = decodeVoteSlot(padded.subarray(at, at + VOTE_SLOT_BYTES), slot)
      const b = decodeVoteSlot(padded.subarray(at + BLOCK_BYTES, at + BLOCK_BYTES + VOTE_SLOT_BYTES), slot)
      if (a === 'never' && b === 'never') continue
      this.#nextSlot = slot + 1
      this.#take(slot, winnerOf(a, b))
    }
    // A block is written with all of its slots: those that cannot be read stay as they are, the others get the winner.
    for (let block = 0; block < blocks; block++) {
      this.#blocks.push(padded.slice(2 * block * BLOCK_BYTES, (2 * block + 1) * BLOCK_BYTES))
    }
    this.#encode(new Set(this.#slots.keys()))
  }

  #take(slot: number, winner: VoteSlot | null): void {
    if (winner === null) {
      this.#unreadable.add(slot)
      return
    }
    if (this.#slots.has(winner.group)) {
      throw new LogError(
        'DAMAGED',
        `${this.#path}: group ${winner.group} has two slots; restore the node's own copy of the file`,
      )
    }
    this.#slots.set(winner.group, winner)
  }
}

function winnerOf(a: VoteSlot | string, b: VoteSlot | string): VoteSlot | null {
  if (typeof a === 'string') return typeof b === 'string' ? null : b
  return typeof b === 'string' || a.sequence >= b.sequence ? a : b
}
