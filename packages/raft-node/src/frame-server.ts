/**
 * Answers replicas of other nodes that ask for entries which their disks cannot give.
 *
 * Gives only what is durable and verified here, and only entries that are committed or that lead to the very entry which
 * the asking log ends its hole with: others could be of a history that is about to be replaced. Few are served at a time;
 * the others are told to come again.
 */
import { type GroupLog, LogDamaged, LogError } from '@millrace/log-store'
import { FETCH_PIECE_BYTES_MAX, type FrameAnswer, type FrameRequest } from './frame-calls.ts'
import type { RepairTraffic } from './repair-budget.ts'
import type { ReplicaPlaces } from './replica-places.ts'

/** Answers that may be read from the disk at a time. */
const FRAME_READS_MAX = 4

/** The replica that is asked. */
export interface FrameHolder {
  readonly replica: number
  readonly halted: string | undefined
  readonly places: Pick<ReplicaPlaces, 'admits'>
  /** Reads of it fail at once where it is damaged: two replicas that waited for repairs could wait for each other. */
  readonly storedLog: GroupLog
  readonly repair: { look(): void }
  status(): { readonly commit: number }
}

export class FrameServer {
  readonly #traffic: Pick<RepairTraffic, 'framesServed'>
  #reading = 0

  constructor(traffic: Pick<RepairTraffic, 'framesServed'>) {
    this.#traffic = traffic
  }

  /** @param replica of the group that is asked about, on this node */
  async answer(fromNode: number, request: FrameRequest, replica: FrameHolder | undefined): Promise<FrameAnswer> {
    if (replica === undefined || replica.halted !== undefined || request.to !== replica.replica) {
      return { status: 'absent' }
    }
    if (!replica.places.admits(request.from, fromNode)) return { status: 'absent' }
    if (this.#reading >= FRAME_READS_MAX) return { status: 'busy' }
    this.#reading += 1
    try {
      const answer = await read(replica, request)
      if (answer.status === 'frames') this.#traffic.framesServed += answer.frames.length
      return answer
    } catch (error) {
      if (error instanceof LogDamaged) replica.repair.look()
      if (error instanceof LogError) return { status: error.code === 'DAMAGED' ? 'damaged' : 'absent' }
      throw error
    } finally {
      this.#reading -= 1
    }
  }
}

async function read(replica: FrameHolder, { first, last, bytesMax }: FrameRequest): Promise<FrameAnswer> {
  const { storedLog: log } = replica
  if (first <= log.base.index || last.index > log.durable.index || first > last.index) return { status: 'absent' }
  if (last.index > replica.status().commit) {
    const [end] = await log.read(last.index, last.index + 1, 1)
    const { term, chain } = end!.header
    if (term !== last.term || chain !== last.chain) return { status: 'differs' }
  }
  const frames = await log.read(first, last.index + 1, Math.min(bytesMax, FETCH_PIECE_BYTES_MAX))
  return { status: 'frames', frames }
}
