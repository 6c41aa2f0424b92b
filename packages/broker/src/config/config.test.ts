import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { StartError } from '../start-error.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { formatAddress, isLoopbackHost, parseAddress } from './address.ts'
import { loadConfig } from './load-config.ts'
import { nearestName } from './nearest-name.ts'
import { checkPlaintext } from './plaintext.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from './quantity.ts'
import { SETTINGS } from './settings.ts'

function file(text: string, name = 'millrace.yaml'): string {
  const path = join(temporaryFolder(), name)
  writeFileSync(path, text)
  return path
}

function refusal(run: () => unknown): StartError {
  try {
    run()
  } catch (error) {
    if (error instanceof StartError) return error
    throw error
  }
  throw new Error('was not refused')
}

describe('sources', () => {
  test('defaults alone make a node on loopback', () => {
    const config = loadConfig()
    expect(config.listen).toEqual({
      client: '127.0.0.1:7070',
      peer: '127.0.0.1:7080',
      admin: '127.0.0.1:7090',
      plaintext: false,
    })
    expect(config.storage.segmentBytesMax).toBe(134_217_728)
  })

  test('file, variables and flags win over each other in this order', () => {
    const path = file('node: 2\nlisten:\n  client: 127.0.0.1:1\n  admin: 127.0.0.1:1\n  peer: 127.0.0.1:1\n')
    const config = loadConfig({
      file: path,
      env: { MILLRACE_LISTEN_ADMIN: '127.0.0.1:2', MILLRACE_LISTEN_PEER: '127.0.0.1:2', HOME: '/' },
      flags: { 'listen.peer': '127.0.0.1:3', 'listen.client': undefined },
    })
    expect(config.node).toBe(2)
    expect(config.listen).toMatchObject({ client: '127.0.0.1:1', admin: '127.0.0.1:2', peer: '127.0.0.1:3' })
  })

  test('JSON is read as YAML is; MILLRACE_CONFIG names the file', () => {
    const path = file('{"limits":{"readBufferBytesMax":"2MiB"},"shutdownMs":"5s"}', 'millrace.json')
    const config = loadConfig({ env: { MILLRACE_CONFIG: path } })
    expect(config.limits.readBufferBytesMax).toBe(2_097_152)
    expect(config.shutdownMs).toBe(5_000)
  })

  test('nodes come as a list in a file and as JSON in a variable', () => {
    const nodes = [{ node: 1, clientUrl: 'http://127.0.0.1:7070', peerAddress: '127.0.0.1:7080' }]
    expect(loadConfig({ env: { MILLRACE_CLUSTER_NODES: JSON.stringify(nodes) } }).cluster.nodes).toEqual(nodes)
    const path = file(`cluster:\n  nodes:\n    - ${JSON.stringify(nodes[0])}\n`)
    expect(loadConfig({ file: path }).cluster.nodes).toEqual(nodes)
  })
})

describe('a corrupt setting', () => {
  test.each([
    ['a misspelt name', 'listen:\n  cleint: 127.0.0.1:1\n', /listen\.cleint: did you mean listen\.client\?/],
    ['a name in the wrong place', 'client: 127.0.0.1:1\n', /unknown setting .*client/],
    [
      'a value of the wrong form',
      'storage:\n  segmentBytesMax: 12 parsecs\n',
      /storage\.segmentBytesMax: must be a size/,
    ],
    ['a value below its limit', 'shutdownMs: 1ms\n', /shutdownMs: must be at least 100ms/],
    ['a value above its limit', 'snapshots:\n  chunkBytes: 9MiB\n', /snapshots\.chunkBytes: must be at most 8MiB/],
    ['two values that do not go together', 'raft:\n  heartbeatMs: 1s\n', /electionTimeoutMinMs.*twice/],
    ['a port out of range', 'listen:\n  client: 127.0.0.1:70700\n', /listen\.client: must be host:port/],
    ['an origin with a path', 'http:\n  allowedOrigins: [http://a.example/x]\n', /http\.allowedOrigins/],
    [
      'two nodes with one number',
      'cluster:\n  nodes: [{node: 1, clientUrl: "http://a", peerAddress: "a:1"}, {node: 1, clientUrl: "http://b", peerAddress: "b:1"}]\n',
      /same node twice/,
    ],
    ['a section that is a list', 'listen: [1]\n', /listen/],
    ['a file that is not YAML', 'a: [', /cannot read the config file/],
    ['a file that is a list', '- 1\n', /must be a map/],
  ])('%s', (_what, text, message) => {
    const error = refusal(() => loadConfig({ file: file(text) }))
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.message).toMatch(message)
    expect(error.message).not.toContain('\n')
  })

  test('a variable that is not a setting is named with the nearest', () => {
    const error = refusal(() => loadConfig({ env: { MILLRACE_LISTEN_CLEINT: 'x' } }))
    expect(error.message).toContain('did you mean MILLRACE_LISTEN_CLIENT?')
  })

  test('a file that is not there', () => {
    expect(refusal(() => loadConfig({ file: '/nowhere/millrace.yaml' })).code).toBe('CONFIG_INVALID')
  })
})

describe('a non-loopback listener', () => {
  const listen = (changes: object) => ({ ...loadConfig().listen, ...changes })

  test('is refused unless listen.plaintext: true says so by name', () => {
    for (const address of ['0.0.0.0:7070', '[::]:7070', '192.168.1.2:7070', 'db.example:7070']) {
      for (const name of ['client', 'peer', 'admin']) {
        const error = refusal(() => checkPlaintext(listen({ [name]: address })))
        expect(error.code).toBe('PLAINTEXT_REFUSED')
        expect(error.message).toContain(`listen.${name}`)
        expect(error.message).toContain('listen.plaintext: true')
      }
    }
  })

  test('is warned about at every start where it is allowed', () => {
    const warnings = checkPlaintext(listen({ client: '0.0.0.0:7070', plaintext: true }))
    expect(warnings).toEqual([expect.stringContaining('listen.client 0.0.0.0:7070')])
    expect(checkPlaintext(listen({ plaintext: true, client: 'localhost:1', peer: '[::1]:1' }))).toEqual([])
  })
})

test('quantities are read and written', () => {
  expect(['128MiB', '1.5KiB', '2 GB', '7', 12].map(parseSize)).toEqual([134_217_728, 1_536, 2e9, 7, 12])
  expect(['1x', '-1', '', 'MiB', '1.0001B'].map(parseSize)).toEqual(Array(5).fill(undefined))
  expect(['7d', '1.5s', '150ms', 20].map(parseDuration)).toEqual([604_800_000, 1_500, 150, 20])
  expect([formatSize(134_217_728), formatSize(1_000), formatSize(0)]).toEqual(['128MiB', '1000B', '0B'])
  expect([formatDuration(604_800_000), formatDuration(1_500)]).toEqual(['7d', '1500ms'])
})

test('addresses are read and written', () => {
  for (const text of ['127.0.0.1:7070', '[::1]:0', 'localhost:65535']) {
    expect(formatAddress(parseAddress(text)!)).toBe(text)
  }
  for (const text of ['7070', ':7070', '::1:7070', 'a b:1', '[::g]:1', 'a:65536'])
    expect(parseAddress(text)).toBeUndefined()
  expect(['localhost', 'a.localhost', '127.9.9.9', '::1', '::ffff:127.0.0.1'].every(isLoopbackHost)).toBe(true)
  expect(['0.0.0.0', '::', 'localhost.evil.example', '128.0.0.1', '127.evil.example'].some(isLoopbackHost)).toBe(false)
})

test('the nearest name is found, a far one is not', () => {
  expect(nearestName('shutdownMS', ['shutdownMs', 'node'])).toBe('shutdownMs')
  expect(nearestName('zzz', ['shutdownMs', 'node'])).toBeUndefined()
})

describe('the reference', () => {
  const page = readFileSync(new URL('../../../../docs/reference/config.md', import.meta.url), 'utf8')

  test('has a row for every setting, in the order of the table, and no other', () => {
    const rows = page.split('\n').filter(line => line.startsWith('| `'))
    const expected = SETTINGS.map(
      ({ name, variable, defaultText, meaning }) => `| \`${name}\` | \`${variable}\` | ${defaultText} | ${meaning} |`,
    )
    expect(rows).toEqual(expected)
  })

  test('and NodeConfig name the same settings', () => {
    const source = readFileSync(new URL('./node-config.ts', import.meta.url), 'utf8')
    for (const { name } of SETTINGS) expect(source).toContain(`${name.split('.').at(-1)}:`)
    expect(Object.keys(loadConfig()).toSorted()).toEqual(
      [...new Set(SETTINGS.map(({ name }) => name.split('.')[0]!))].toSorted(),
    )
  })

  test('shows an example that loads', () => {
    const example = /```yaml\n([\s\S]*?)```/.exec(page)![1]!
    expect(loadConfig({ file: file(example) }).node).toBe(1)
  })
})
