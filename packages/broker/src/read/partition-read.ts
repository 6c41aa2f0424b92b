/**
 * Reads one partition of this node from a position on, batch by batch, as its reader asks for them. Holds one batch at
 * a time, at most `batchBytesMax` (or one frame), and shows committed records only. A read that needs the leader ends
 * with NOT_LEADER as soon as this node no longer leads.
 */
import { type Frame, MillraceError } from '@millrace/record'
import type { Partition } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from '../cluster/not-leader.ts'
import { isPlacedHere } from '../cluster/topic-lookup.ts'
import { confirmLeadership } from './leader-confirmation.ts'
import { type StartPosition, startOffset } from './start-position.ts'

export interface ReadOptions {
  readonly from: StartPosition
  /** Wait for more at the end; otherwise end at the high watermark of the start. */
  readonly live: boolean
  /** Serve from this replica even if it does not lead. */
  readonly anyReplica: boolean
  readonly batchBytesMax: number
  readonly idleMs: number
  /** Ends the read: the reader has gone or the node stops. */
  readonly signal: AbortSignal
}

/** Frames in order, or a sign of life. `frames` may begin before the asked offset. */
export type ReadEvent =
  | {
      readonly type: 'frames'
      readonly frames: readonly Frame[]
      readonly nextOffset: number
      readonly highWatermark: number
    }
  | { readonly type: 'idle'; readonly highWatermark: number }

/** A read whose position is known and valid. */
export interface OpenRead {
  readonly partition: number
  readonly startOffset: number
  readonly logStartOffset: number
  readonly highWatermark: number
  /** Ends without an error when the signal fires. */
  readonly events: AsyncGenerator<ReadEvent>
}

type ReadContext = Pick<BrokerContext, 'topics' | 'directory' | 'nodeId'>

/**
 * A replica that has known no leader for so long is not read any more, not even by who takes what is old: nobody can say
 * how old. Longer than any election takes.
 */
const LEADERLESS_MS = 30_000
/** How often a waiting read looks whether its node may still serve it. */
const LEADING_CHECK_MS = 500

/**
 * Opens the read. Unless any replica may serve it, everything that was acknowledged before the call is in it.
 *
 * @throws MillraceError NOT_LEADER, LEADER_STARTING, NO_LEADER, REPLICA_BEHIND, OFFSET_OUT_OF_RANGE, PARTITION_HALTED
 */
export async function openPartitionRead(
  context: ReadContext,
  partition: Partition,
  options: ReadOptions,
): Promise<OpenRead> {
  const mayServe = () => checkServes(context, partition, options)
  mayServe()
  if (!options.anyReplica) await confirmLeadership(context.topics, partition)
  const { highWatermark } = partition
  const start = await startOffset(partition, options.from)
  return {
    partition: partition.partition,
    startOffset: start,
    logStartOffset: partition.logStartOffset,
    highWatermark,
    events: events(partition, options, start, highWatermark, mayServe),
  }
}

function checkServes(context: ReadContext, partition: Partition, { anyReplica }: ReadOptions): void {
  if (partition.leading) return
  const what = `${partition.topic}/${partition.partition}`
  const { leaderNode, term, leaderlessMs } = partition
  if (!anyReplica || !isPlacedHere(context, partition)) throw notLeader(context.directory, { what, leaderNode, term })
  if (leaderlessMs < LEADERLESS_MS) return
  const seconds = Math.floor(leaderlessMs / 1_000)
  const message = `node ${context.nodeId} has heard of no leader of ${what} for ${seconds} s, and what it has may be old; read from another replica, or try again`
  throw new MillraceError('REPLICA_BEHIND', message, { details: { leaderlessMs: Math.floor(leaderlessMs) } })
}

async function* events(
  partition: Partition,
  options: ReadOptions,
  start: number,
  end: number,
  mayServe: () => void,
): AsyncGenerator<ReadEvent> {
  const { live, signal, batchBytesMax, idleMs } = options
  let offset = start
  let quietSince = performance.now()
  while (!signal.aborted && (live || offset < end)) {
    mayServe()
    if (partition.highWatermark <= offset) {
      await waitForMore(partition, offset, Math.min(LEADING_CHECK_MS, idleMs), signal)
      if (signal.aborted || partition.highWatermark > offset) continue
      if (performance.now() - quietSince >= idleMs) {
        yield { type: 'idle', highWatermark: partition.highWatermark }
        quietSince = performance.now()
      }
      continue
    }
    const { frames, nextOffset, highWatermark } = await partition.read(offset, batchBytesMax)
    if (frames.length === 0 && nextOffset <= offset) {
      throw new MillraceError(
        'INTERNAL',
        `read of ${partition.topic}/${partition.partition} at ${offset} made no progress`,
      )
    }
    offset = nextOffset
    if (frames.length > 0) yield { type: 'frames', frames, nextOffset, highWatermark }
    quietSince = performance.now()
  }
}

/** Resolves when the high watermark is above `offset`, after `ms`, or when the signal fires. */
function waitForMore(partition: Partition, offset: number, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      wait.cancel()
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
    // May call back at once, before `wait` is there.
    const wait = partition.waitAbove(offset, () => queueMicrotask(end))
  })
}
