/** Liveness and readiness, for the client port and the admin port alike. */
import type { BrokerContext } from '../broker-context.ts'
import { sendJson } from './http-error.ts'
import type { NodeResponse } from './node-http.ts'

/** The process turns its loop: that is all that a restart could change. */
export function livezRoute(response: NodeResponse): void {
  sendJson(response, 200, { status: 'live' })
}

/** 200 when this node can do its work, else 503 with the reasons. */
export function readyzRoute({ readiness }: BrokerContext, response: NodeResponse): void {
  const reasons = readiness.reasons()
  const status = reasons.length === 0 ? 'ready' : 'not ready'
  sendJson(response, reasons.length === 0 ? 200 : 503, { status, reasons })
}
