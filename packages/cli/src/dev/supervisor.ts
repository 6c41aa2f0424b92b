/**
 * Keeps the nodes of `dev` running: a node that ends unasked is reported and started again after a pause that doubles.
 * Nothing is started once the stop has begun.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { describeError } from '../cli-error.ts'
import type { NodeProcess } from '../cluster/node-process.ts'
import { BackOff } from '../process/back-off.ts'

export interface SupervisorOptions {
  /** Ends the supervision; the nodes are then the caller's to stop. */
  readonly signal: AbortSignal
  /** One line for people. */
  readonly report: (line: string) => void
}

/** Supervises running nodes until the signal; resolves when no restart is under way any more. */
export async function supervise(nodes: readonly NodeProcess[], options: SupervisorOptions): Promise<void> {
  await Promise.all(nodes.map(node => superviseNode(node, options)))
}

async function superviseNode(node: NodeProcess, { signal, report }: SupervisorOptions): Promise<void> {
  const backOff = new BackOff()
  let startedAt = performance.now()
  for (;;) {
    await ended(node, signal)
    if (signal.aborted) return
    const waitMs = backOff.next(performance.now() - startedAt)
    report(`${await node.describeEnd()}; starting it again in ${waitMs / 1000} s`)
    await sleep(waitMs, undefined, { signal }).catch(ignoreAbort)
    if (signal.aborted) return
    startedAt = performance.now()
    try {
      await node.start()
      await node.ready(signal)
      report(`node ${node.node} serves again`)
    } catch (error) {
      // An end is reported by the next turn of this loop.
      if (!signal.aborted && node.running) report(describeError(error))
    }
  }
}

/** Resolves when the process has ended or the signal came. */
async function ended(node: NodeProcess, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => aborted.resolve(), { once: true })
  if (signal.aborted) return
  await Promise.race([node.exited, aborted.promise])
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error
}
