/**
 * The configuration entries of a log at start, and whether one that matters is in a hole. A segment's header holds those
 * before it, unless a hole hid one when the header was written; then the patch has it, or the segment that it is in.
 */
import { type Frame, FrameKind } from '@millrace/record'
import { damaged } from './live-segments.ts'
import { holesOf, type LogParts } from './log-pieces.ts'
import { judgeUnreadConfiguration } from './recovery-table.ts'
import { assertOneHistory, type ScannedSegment, scanWhole } from './sealed-segments.ts'
import { segmentOf } from './segment.ts'
import type { StoreContext } from './store-context.ts'

export interface RecoveredConfigurations {
  /** The newest at or below the commit index, and all above it, rising. */
  readonly configurations: readonly Frame[]
  /** A newer one may be in a hole, up to this index; 0: none. */
  readonly unread: number
}

/** @throws LogError `DAMAGED` where the one that the newest round names is nowhere, and in no hole */
export async function recoverConfigurations(
  context: StoreContext,
  parts: LogParts,
  scan: ScannedSegment | null,
  commit: number,
): Promise<RecoveredConfigurations> {
  const known = new Map<number, Frame>()
  const add = (frame: Frame): void => {
    const { index } = frame.header
    if (index > parts.base.index && index <= parts.durable.index) known.set(index, frame)
  }
  for (const { source, configurations } of parts.patches)
    for (const frame of configurations) if (frame.header.index <= source.limit) add(frame)
  for (const frame of parts.segments.at(-1)?.header.configurations ?? []) add(frame)
  for (const frame of scan?.configurations ?? []) add(frame)
  const named = scan?.lastRound?.record.configurationIndex ?? 0
  if (named > parts.base.index && !known.has(named))
    for (const frame of await lookFor(context, parts, named, scan)) add(frame)
  const configurations = [...known.values()].sort((a, b) => a.header.index - b.header.index)
  const inForce = configurations.findLastIndex(frame => frame.header.index <= commit)
  const newestInForce = configurations[inForce]?.header.index ?? parts.base.index
  const holes = holesOf(parts)
  let unread = 0
  if (named > parts.base.index && !known.has(named)) {
    if (judgeUnreadConfiguration(named, holes, newestInForce) === 'refuse')
      throw damaged(parts.segments.at(-1)!.path, `the configuration at ${named} that its last round names is missing`)
    unread = named
  }
  const suspected = scan?.unreadConfiguration ?? 0
  if (!known.has(suspected) && judgeUnreadConfiguration(suspected, holes, newestInForce) === 'unread')
    unread = Math.max(unread, suspected)
  return { configurations: inForce > 0 ? configurations.slice(inForce) : configurations, unread }
}

/** Scans the segment that must hold an entry, unless that has been done as a whole; what it lacks is a gap from now on. */
async function lookFor(
  { disk }: StoreContext,
  parts: LogParts,
  index: number,
  newest: ScannedSegment | null,
): Promise<readonly Frame[]> {
  const segment = segmentOf(parts.segments, index)
  const next = segment && parts.segments[parts.segments.indexOf(segment) + 1]
  if (segment === undefined || segment.header.length === 0 || (next === undefined && newest?.isWhole === true))
    return []
  const sealedBy = next?.header.base ?? parts.durable
  const scan = await scanWhole(disk, segment, { size: segment.end, limit: sealedBy.index, sealedBy })
  assertOneHistory(segment, scan, sealedBy)
  segment.gaps = scan.gaps
  return scan.configurations.filter(
    ({ header }) => header.kind === FrameKind.configuration && header.index <= sealedBy.index,
  )
}
