/** Removes the oldest records of a partition on request, on whatever node leads it: one hop. */
import { MillraceError } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { leaderElsewhere } from './leader-elsewhere.ts'
import { checkPartition, findTopic, localPartition } from './topic-lookup.ts'

export interface Trim {
  readonly topic: string
  readonly partition: number
  /** Records below this go. */
  readonly beforeOffset: number
}

/**
 * @returns the log start, once it is decided durably; the space on the disks follows
 * @throws MillraceError UNKNOWN_TOPIC, UNKNOWN_PARTITION; OFFSET_OUT_OF_RANGE beyond the high watermark; NO_LEADER and the like;
 *   LEADERSHIP_LOST where nobody can tell: asking again does no harm
 */
export async function trimPartition(
  context: BrokerContext,
  { topic, partition, beforeOffset }: Trim,
  { forwarded, signal }: { readonly forwarded: boolean; readonly signal: AbortSignal },
): Promise<number> {
  if (!(Number.isSafeInteger(beforeOffset) && beforeOffset >= 0))
    throw new MillraceError('INVALID_ARGUMENT', `before: ${beforeOffset} is no offset, a whole number from 0 on`)
  const info = await findTopic(context, topic)
  checkPartition(info, partition)
  const local = await localPartition(context, info, partition)
  if (local?.leading) return await local.startLogAt(beforeOffset)
  const leader = leaderElsewhere(context, topic, partition, { term: local?.term ?? 0, forwarded })
  const request = { topic, partition, beforeOffset: BigInt(beforeOffset) }
  const answer = await context.forwarder.run(leader, clients =>
    clients.topics.trimPartition(request, { signal, timeoutMs: 10_000 }),
  )
  return Number(answer.logStartOffset)
}
