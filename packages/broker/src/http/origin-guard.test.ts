import { describe, expect, test } from 'vitest'
import { judgeOrigin, type OriginFacts, type OriginRules } from './origin-guard.ts'

const loopback: OriginRules = { loopback: true, knownHosts: [], allowedOrigins: ['http://app.example'] }
const open: OriginRules = { loopback: false, knownHosts: ['log.example'], allowedOrigins: [] }

function verdict(rules: OriginRules, host: string | undefined, facts: Partial<OriginFacts> = {}): string {
  return judgeOrigin(rules, { host, origin: undefined, secFetchSite: undefined, ...facts }).type
}

describe('loopback listeners', () => {
  test.each([
    'localhost:7070',
    'localhost',
    'LOCALHOST:7070',
    'dev.localhost:1',
    '127.0.0.1:7070',
    '127.1.2.3',
    '[::1]:7070',
  ])('answer to %s', host => expect(verdict(loopback, host)).toBe('allowed'))

  test.each([
    'evil.example',
    'localhost.evil.example:7070',
    '127.0.0.1.evil.example',
    '10.0.0.1:7070',
    '',
    'a b',
    undefined,
  ])('do not answer to %s', host => expect(verdict(loopback, host)).toBe('refused'))

  test('answer to names that are configured', () => {
    expect(verdict({ ...loopback, knownHosts: ['Millrace.Test'] }, 'millrace.test:7070')).toBe('allowed')
  })
})

describe('origins', () => {
  const host = 'localhost:7070'

  test.each([
    ['http://localhost:7070', undefined, 'allowed'],
    ['http://localhost:7070', 'same-origin', 'allowed'],
    ['http://localhost:7070', 'cross-site', 'refused'],
    ['http://localhost:3000', 'same-site', 'refused'],
    ['https://localhost:7070', undefined, 'refused'],
    ['http://127.0.0.1:7070', undefined, 'refused'],
    ['http://evil.example', undefined, 'refused'],
    ['null', undefined, 'refused'],
    ['', undefined, 'refused'],
    ['http://app.example', 'cross-site', 'allowed'],
    [undefined, undefined, 'allowed'],
    [undefined, 'none', 'allowed'],
    [undefined, 'same-origin', 'allowed'],
    [undefined, 'same-site', 'refused'],
    [undefined, 'cross-site', 'refused'],
    [undefined, 'whatever', 'refused'],
  ])('Origin %s, Sec-Fetch-Site %s: %s', (origin, secFetchSite, expected) => {
    expect(verdict(loopback, host, { origin, secFetchSite })).toBe(expected)
  })

  test('only those allowed by name get CORS', () => {
    const own = judgeOrigin(loopback, { host, origin: 'http://localhost:7070', secFetchSite: undefined })
    expect(own).toEqual({ type: 'allowed' })
    const named = judgeOrigin(loopback, { host, origin: 'http://app.example', secFetchSite: undefined })
    expect(named).toEqual({ type: 'allowed', corsOrigin: 'http://app.example' })
  })
})

describe('other listeners', () => {
  test('take any name from programs', () => expect(verdict(open, 'whatever.internal:7070')).toBe('allowed'))

  test('take a name that a page may have bound to them only when they know it', () => {
    const page = (host: string) => verdict(open, host, { origin: `http://${host}`, secFetchSite: 'same-origin' })
    expect(page('rebound.evil.example:7070')).toBe('refused')
    expect(page('log.example:7070')).toBe('allowed')
    expect(page('10.0.0.1:7070')).toBe('allowed')
  })
})
