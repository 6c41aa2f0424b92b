/** Liveness and readiness, for the client port and the admin port alike. */
import type { BrokerContext } from '../broker-context.ts'
import { sendJson } from './http-error.ts'
import type { NodeResponse } from './node-http.ts'

/** The process turns its loop: that is all that a restart could change. */
export function livezRoute(response: NodeResponse): void {
  sendJson(response, 200, { status: 'live' })
}

/** 200 when this node can do its work, else 503 with the reasons. */
export function readyzRoute(context: BrokerContext, response: NodeResponse): void {
  const reasons = unreadyReasons(context)
  sendJson(response, reasons.length === 0 ? 200 : 503, {
    status: reasons.length === 0 ? 'ready' : 'not ready',
    reasons,
  })
}

/** Why this node should get no new clients; empty: it is ready. */
export function unreadyReasons(context: BrokerContext): readonly string[] {
  if (context.stopping.aborted) return ['the node is stopping']
  const reasons: string[] = []
  if (context.topics.catalogue.leaderNode === 0) reasons.push('the catalogue has no leader')
  else if (!context.caughtUp()) reasons.push('the catalogue here is not up to date yet')
  for (const { topic, partition, handle } of context.topics.replicas()) {
    const { halted, leaderNode } = handle.status()
    const name = topic === '' ? 'the catalogue' : `${topic}/${partition}`
    if (halted !== undefined) reasons.push(`${name} is halted: ${halted}`)
    else if (leaderNode === 0 && topic !== '') reasons.push(`${name} has no leader`)
  }
  const refused = context.logStore?.refused() ?? []
  for (const { group, reason } of refused) reasons.push(`group ${group} is refused: ${reason.message}`)
  if (context.logStore?.acceptsAppends === false) reasons.push('the disk reserve is reached')
  return reasons
}
