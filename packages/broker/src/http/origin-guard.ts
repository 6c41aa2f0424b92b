/**
 * Keeps web pages away from a broker that has no passwords: who may ask is decided by Host, Origin and Sec-Fetch-Site
 * before anything else is looked at, for every route and every content type. Pure.
 *
 * Two attacks are meant. A page of another origin sends requests that need no preflight: refused by Origin and
 * Sec-Fetch-Site, which pages cannot change. A name of the attacker's that resolves to 127.0.0.1 makes its page "same
 * origin" (DNS rebinding): refused because loopback listeners answer to loopback names in Host only.
 */
import { isIP } from 'node:net'
import { isLoopbackHost } from '../config/address.ts'

export interface OriginRules {
  /** The listener's own address is a loopback address. */
  readonly loopback: boolean
  /** Names this node is known by beside loopback ones and IP addresses: its advertised host and `http.allowedHosts`. */
  readonly knownHosts: readonly string[]
  /** `http.allowedOrigins`. */
  readonly allowedOrigins: readonly string[]
}

export interface OriginFacts {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly secFetchSite: string | undefined
}

export type OriginVerdict =
  /** `corsOrigin`: the answer carries CORS headers for this origin. */
  { readonly type: 'allowed'; readonly corsOrigin?: string } | { readonly type: 'refused'; readonly message: string }

export function judgeOrigin(rules: OriginRules, facts: OriginFacts): OriginVerdict {
  const hostName = nameOf(facts.host)
  if (hostName === undefined) return refused(`Host ${JSON.stringify(facts.host ?? '')} is not a host name`)
  if (!hostIsKnown(rules, hostName, facts)) {
    return refused(
      `Host ${JSON.stringify(facts.host)} is not a name of this node; use localhost or add it to http.allowedHosts`,
    )
  }
  if (facts.origin !== undefined) return judgeNamedOrigin(rules, facts, facts.origin)
  const site = facts.secFetchSite
  if (site === undefined || site === 'same-origin' || site === 'none') return { type: 'allowed' }
  return refused(`a page of another site asks (Sec-Fetch-Site: ${site}); see http.allowedOrigins`)
}

function judgeNamedOrigin(rules: OriginRules, facts: OriginFacts, origin: string): OriginVerdict {
  if (rules.allowedOrigins.includes(origin)) return { type: 'allowed', corsOrigin: origin }
  const sameOrigin = origin.toLowerCase() === `http://${facts.host?.toLowerCase()}`
  const site = facts.secFetchSite
  if (sameOrigin && (site === undefined || site === 'same-origin' || site === 'none')) return { type: 'allowed' }
  return refused(`Origin ${JSON.stringify(origin)} is not allowed; add it to http.allowedOrigins`)
}

/**
 * Loopback listeners answer to loopback names only. Others are addressed by names the node may not know; browsers,
 * which send Origin or Sec-Fetch-Site, have to use one that it does.
 */
function hostIsKnown(rules: OriginRules, hostName: string, facts: OriginFacts): boolean {
  const known = rules.knownHosts.some(name => name.toLowerCase() === hostName)
  if (known || isLoopbackHost(hostName)) return true
  if (rules.loopback) return false
  const fromBrowser = facts.origin !== undefined || facts.secFetchSite !== undefined
  return !fromBrowser || isIP(hostName) !== 0
}

/** Host without port and brackets, lower case; undefined where it is absent or malformed. */
function nameOf(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(host ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}

function refused(message: string): OriginVerdict {
  return { type: 'refused', message }
}

/** What a preflight and the answers to an allowed origin carry. */
export function corsHeaders(origin: string): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers':
      'grpc-status, grpc-message, grpc-status-details-bin, content-range, retry-after, connect-content-encoding',
    vary: 'origin',
  }
}

/** Beside {@link corsHeaders}, on the answer to a preflight. */
export const PREFLIGHT_HEADERS: Readonly<Record<string, string>> = {
  'access-control-allow-methods': 'GET, POST, DELETE',
  'access-control-allow-headers':
    'content-type, accept, last-event-id, connect-protocol-version, connect-timeout-ms, grpc-timeout, x-grpc-web, x-user-agent',
  'access-control-max-age': '7200',
}
