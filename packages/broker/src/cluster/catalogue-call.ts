/** Changes to the catalogue: made here where this node leads it, else passed on to the node that does, one hop. */
import { MillraceError } from '@millrace/record'
import type { BrokerContext } from '../broker-context.ts'
import { sleep, within } from '../timing.ts'
import type { PeerClients } from './node-directory.ts'
import { notLeader } from './not-leader.ts'

export interface CatalogueCall<T> {
  readonly local: () => Promise<T>
  readonly remote: (clients: PeerClients) => Promise<T>
  /** The call came from another node. */
  readonly forwarded: boolean
  readonly signal: AbortSignal
}

const PATIENCE_MS = 10_000
const RETRY_MS = 50
const CATCH_UP_MS = 1_000

/**
 * Waits for a leader for up to 10 s, and after a call that was passed on until this node's catalogue has caught up: what
 * was created is found here by the next call.
 *
 * @throws MillraceError of the catalogue; NO_LEADER, UNREACHABLE
 */
export async function onCatalogueLeader<T>(context: BrokerContext, call: CatalogueCall<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await attempt(context, call)
    } catch (error) {
      const retry = error instanceof MillraceError && error.outcome === 'not_stored' && MOVED.has(error.code)
      const over = call.signal.aborted || context.stopping.aborted || performance.now() > deadline
      if (call.forwarded || !retry || over) throw error
    }
    await sleep(RETRY_MS, call.signal)
  }
}

const MOVED: ReadonlySet<string> = new Set([
  'NOT_LEADER',
  'NO_LEADER',
  'LEADER_STARTING',
  'UNREACHABLE',
  'SHUTTING_DOWN',
])

async function attempt<T>(context: BrokerContext, call: CatalogueCall<T>): Promise<T> {
  const { leading, leaderNode, term } = context.topics.catalogue
  if (leading) return call.local()
  const refusal = notLeader(context.directory, { what: 'the catalogue', leaderNode, term })
  if (call.forwarded || refusal.code !== 'NOT_LEADER') throw refusal
  const answer = await context.forwarder.run(leaderNode, call.remote)
  await within(CATCH_UP_MS, context.topics.waitCatalogue())
  return answer
}
