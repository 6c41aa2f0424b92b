import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { freePorts, hasProgram, temporaryFolder, waitFor } from './testkit.ts'

const ROOT = join(import.meta.dirname, '../..')
const README = readFileSync(join(ROOT, 'examples/kv/README.md'), 'utf8')
const COMMANDS = [...README.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block]) => block!.trim().split('\n'))
const NODE_COMMANDS = COMMANDS.filter(command => command.startsWith('node '))
const TIMEOUT_MS = 30_000

/** The three processes of README, on ports and in a folder of their own. */
class KeyValueCluster {
  readonly ids = [1, 2, 3]
  readonly running = new Map<number, ChildProcess>()
  readonly #ports: readonly number[]
  readonly #folder = temporaryFolder('kv')
  #output = ''

  constructor(ports: readonly number[]) {
    this.#ports = ports
    const node = (id: number): object => ({
      peers: `127.0.0.1:${ports[id - 1]}`,
      http: `127.0.0.1:${ports[id + 2]}`,
    })
    const nodes = Object.fromEntries(this.ids.map(id => [id, node(id)]))
    writeFileSync(`${this.#folder.path}/cluster.json`, JSON.stringify({ clusterId: 'kv-test', nodes }))
  }

  /** A command of README with the addresses of this cluster. */
  here(command: string): string {
    let here = command.replaceAll('/tmp/kv', this.#folder.path)
    for (const id of this.ids) here = here.replaceAll(`localhost:810${id}`, `127.0.0.1:${this.#ports[id + 2]}`)
    return here.startsWith('node ') ? `${here} --cluster ${this.#folder.path}/cluster.json` : here
  }

  start(id: number, init: boolean): void {
    const command = this.here(NODE_COMMANDS[id - 1]!)
    const [, ...args] = command.split(' ').filter(word => init || word !== '--init')
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#output += `${id}: ${text}`
    })
    this.running.set(id, child)
  }

  url(id: number): string {
    return `http://127.0.0.1:${this.#ports[id + 2]}`
  }

  /** The leader that all running nodes agree on. */
  leader(): Promise<number> {
    return waitFor(
      async () => {
        const said = [...this.running.keys()].map(async id => (await (await fetch(this.url(id))).json()) as object)
        const leaders = (await Promise.all(said)).map(answer => (answer as { leader: number }).leader)
        const [first] = leaders
        return this.running.has(first!) && leaders.every(leader => leader === first) ? first : undefined
      },
      { what: `a leader of ${[...this.running.keys()].join()}\n${this.#output}`, timeoutMs: TIMEOUT_MS },
    )
  }

  async end(id: number, signal: NodeJS.Signals): Promise<number | null> {
    const child = this.running.get(id)!
    this.running.delete(id)
    const ended = new Promise<number | null>(resolve => child.once('exit', resolve))
    child.kill(signal)
    return ended
  }

  /** Writes by way of a node, until it is acknowledged: putting the same value twice changes nothing. */
  async put(via: number, key: string, value: string): Promise<void> {
    await waitFor(async () => (await fetch(`${this.url(via)}/${key}`, { method: 'PUT', body: value })).status === 204, {
      what: `put ${key} by node ${via}\n${this.#output}`,
      timeoutMs: TIMEOUT_MS,
    })
  }

  async get(via: number, key: string): Promise<string> {
    const read = async (): Promise<string | false> => {
      const response = await fetch(`${this.url(via)}/${key}`)
      return response.status < 500 && response.text()
    }
    return waitFor(read, { what: `get ${key} by node ${via}\n${this.#output}`, timeoutMs: TIMEOUT_MS })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of [...this.running.keys()]) await this.end(id, 'SIGKILL')
    this.#folder[Symbol.dispose]()
  }
}

const open: KeyValueCluster[] = []
afterEach(async () => {
  for (const cluster of open.splice(0)) await cluster[Symbol.asyncDispose]()
})

async function founded(): Promise<KeyValueCluster> {
  const cluster = new KeyValueCluster(await freePorts(6))
  open.push(cluster)
  for (const id of cluster.ids) cluster.start(id, true)
  await cluster.leader()
  return cluster
}

function run(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('sh', ['-c', command], (error, stdout) => (error === null ? resolve(stdout.trim()) : reject(error)))
  })
}

describe('examples/kv', () => {
  it('the commands of its README do what they say', async ({ skip }) => {
    if (!hasProgram('curl')) skip('no curl on this machine')
    expect(NODE_COMMANDS).toHaveLength(3)
    const cluster = await founded()
    const curls = COMMANDS.filter(command => command.startsWith('curl '))
    expect(curls.length).toBeGreaterThan(4)
    for (const line of curls) {
      const [command, expected] = line.split(/\s+# /)
      const output = await run(cluster.here(command!))
      if (expected !== undefined) expect(output, line).toBe(expected)
    }
  })

  it('its sources stay under 150 lines', () => {
    const lines = ['main', 'http-server', 'key-value-map'].map(
      name => readFileSync(join(ROOT, `examples/kv/src/${name}.ts`), 'utf8').split('\n').length - 1,
    )
    expect(lines.reduce((sum, count) => sum + count, 0)).toBeLessThan(150)
  })

  it('a write on a follower answers with the address of the leader', async () => {
    const cluster = await founded()
    const leader = await cluster.leader()
    for (const id of cluster.ids.filter(other => other !== leader)) {
      const response = await fetch(`${cluster.url(id)}/a`, { method: 'PUT', body: 'x', redirect: 'manual' })
      expect(response.status).toBe(307)
      expect(response.headers.get('location')).toBe(`${cluster.url(leader)}/a`)
    }
    expect(await cluster.get(leader, 'a')).toBe('no key a\n')
  })

  it('the leader killed again and again: every node reads what was acknowledged, also the one that comes back', async () => {
    const cluster = await founded()
    const written = new Map<string, string>()
    for (let round = 0; round < 3; round++) {
      const leader = await cluster.leader()
      for (let i = 0; i < 10; i++) {
        await cluster.put(1 + (i % 3), `${round}.${i}`, `value ${i}`)
        written.set(`${round}.${i}`, `value ${i}`)
      }
      await cluster.end(leader, 'SIGKILL')
      const others = [...cluster.running.keys()]
      for (const [key, value] of written) expect(await cluster.get(others[round % 2]!, key)).toBe(value)
      await cluster.put(others[0]!, `without ${leader}`, String(round))
      expect(await cluster.get(others[1]!, `without ${leader}`)).toBe(String(round))
      cluster.start(leader, false)
      for (const [key, value] of written) expect(await cluster.get(leader, key)).toBe(value)
    }
    const endings = await Promise.all(cluster.ids.map(id => cluster.end(id, 'SIGTERM')))
    expect(endings).toEqual([0, 0, 0])
  })

  it('without a majority nobody reads or writes', async () => {
    const cluster = await founded()
    const leader = await cluster.leader()
    await cluster.put(leader, 'a', '1')
    for (const id of cluster.ids.filter(other => other !== leader)) await cluster.end(id, 'SIGKILL')
    const [read, write] = await Promise.all([
      fetch(`${cluster.url(leader)}/a`),
      fetch(`${cluster.url(leader)}/a`, { method: 'PUT', body: '2' }),
    ])
    expect(read.status).toBe(503)
    expect([503, 504]).toContain(write.status)
    expect(await write.text()).toMatch(/^(LEADERSHIP_LOST|APPEND_TIMEOUT), unknown:/)
  })
})
