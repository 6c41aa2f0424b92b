/** Checks the vote file: both copies of every slot, against each other where the last stop was a clean one. */
import { readWhole } from '../disk.ts'
import { VOTE_FILE_NAME } from '../vote-file.ts'
import { decodeVoteSlot, VOTE_SLOT_BYTES, type VoteSlot } from '../vote-slot.ts'
import type { VerifyContext } from './verify-context.ts'

/** Copies A and B of the same slots are in two blocks, one after the other (docs/internals/log-format.md). */
const BLOCK_BYTES = 4_096
const SLOTS_PER_BLOCK: number = BLOCK_BYTES / VOTE_SLOT_BYTES

interface SlotCopy {
  readonly name: 'A' | 'B'
  readonly position: number
  readonly value: ReturnType<typeof decodeVoteSlot>
}

/** @returns the winning copy of every group */
export async function verifyVotes(context: VerifyContext, cleanStop: boolean): Promise<ReadonlyMap<number, VoteSlot>> {
  const { disk, logDir, findings } = context
  const path = `${logDir}/${VOTE_FILE_NAME}`
  const slots = new Map<number, VoteSlot>()
  const bytes = await readWhole(disk, path)
  if (bytes === null) {
    findings.damaged(path, 0, 'the file is missing, and with it the votes of all replicas')
    return slots
  }
  if (bytes.length % BLOCK_BYTES !== 0) findings.damaged(path, bytes.length, 'the file is cut inside a block')
  const pairs = Math.ceil(bytes.length / (2 * BLOCK_BYTES))
  const padded = new Uint8Array(pairs * 2 * BLOCK_BYTES)
  padded.set(bytes)
  for (let slot = 0; slot < pairs * SLOTS_PER_BLOCK; slot++) {
    const a = copyOf(padded, slot, 0)
    const b = copyOf(padded, slot, 1)
    for (const what of faultsOf(a, b, cleanStop)) findings.damaged(path, what.position, `slot ${slot}, ${what.what}`)
    const winner = winnerOf(a.value, b.value)
    if (winner === null) continue
    findings.counts.voteSlots++
    if (slots.has(winner.group)) findings.damaged(path, a.position, `group ${winner.group} has a slot before this one`)
    else slots.set(winner.group, winner)
  }
  return slots
}

function copyOf(bytes: Uint8Array, slot: number, copy: 0 | 1): SlotCopy {
  const block = 2 * Math.floor(slot / SLOTS_PER_BLOCK) + copy
  const position = block * BLOCK_BYTES + (slot % SLOTS_PER_BLOCK) * VOTE_SLOT_BYTES
  const value = decodeVoteSlot(bytes.subarray(position, position + VOTE_SLOT_BYTES), slot)
  return { name: copy === 0 ? 'A' : 'B', position, value }
}

function faultsOf(a: SlotCopy, b: SlotCopy, cleanStop: boolean): { position: number; what: string }[] {
  const faults: { position: number; what: string }[] = []
  for (const [copy, other] of [
    [a, b],
    [b, a],
  ] as const) {
    if (typeof copy.value !== 'string' || copy.value === 'never') continue
    const rest =
      typeof other.value === 'string' ? 'the other copy says nothing: the vote is lost' : 'the other is whole'
    faults.push({ position: copy.position, what: `copy ${copy.name}: ${copy.value}; ${rest}` })
  }
  if (faults.length > 0 || !cleanStop || sequenceOf(a) === sequenceOf(b)) return faults
  // While a change is on its way copy A is newer; a clean stop waits for both.
  const older = sequenceOf(a) < sequenceOf(b) ? a : b
  return [{ position: older.position, what: `copy ${older.name}: older than the other copy after a clean stop` }]
}

function sequenceOf({ value }: SlotCopy): number {
  return typeof value === 'string' ? 0 : value.sequence
}

function winnerOf(a: VoteSlot | string, b: VoteSlot | string): VoteSlot | null {
  if (typeof a === 'string') return typeof b === 'string' ? null : b
  return typeof b === 'string' || a.sequence >= b.sequence ? a : b
}
