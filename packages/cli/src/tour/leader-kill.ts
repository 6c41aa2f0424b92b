/**
 * Kills a leader at a moment when it owes acknowledgements. The process is held for an instant (SIGSTOP), so that what
 * is unacknowledged cannot be answered between looking and killing; then SIGKILL ends it as it stands.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CliError } from '../cli-error.ts'
import type { NodeProcess } from '../cluster/node-process.ts'
import { monotonicMs } from './timeline.ts'
import type { FromProducer } from './tour-messages.ts'
import type { TourProcess } from './tour-process.ts'

/** Well below an election timeout: the others must not notice before the kill. */
const HOLD_MS_MAX = 1000

/**
 * @param led the partitions that the node leads
 * @returns the moment of the kill, see monotonicMs
 */
export async function killLeader(
  victim: NodeProcess,
  producer: TourProcess<FromProducer>,
  led: ReadonlySet<number>,
  signal: AbortSignal,
): Promise<number> {
  victim.kill('SIGSTOP')
  producer.child.send({ type: 'continue' })
  const deadline = monotonicMs() + HOLD_MS_MAX
  while (!(await owes(producer, led))) {
    signal.throwIfAborted()
    if (monotonicMs() > deadline) {
      await victim.crash()
      throw new CliError(`the producer sent nothing to node ${victim.node} before it was killed; try a longer --input`)
    }
    await sleep(2)
  }
  const killedAt = monotonicMs()
  await victim.crash()
  return killedAt
}

async function owes(producer: TourProcess<FromProducer>, led: ReadonlySet<number>): Promise<boolean> {
  producer.forget('inflight')
  producer.child.send({ type: 'report' })
  const { batches } = await producer.message('inflight')
  return batches.some((count, partition) => led.has(partition) && count > 0)
}
