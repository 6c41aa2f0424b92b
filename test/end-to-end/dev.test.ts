import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  appendOne,
  freePorts,
  isAlive,
  ONE_LINE,
  type RunningCommand,
  readAll,
  startMillrace,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
} from './testkit.ts'

/** Processes whose command line names a folder, by /proc. */
function processesOf(folder: string): number[] {
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  return pids.map(Number).filter(pid => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      return args.includes('serve') && args.some(arg => arg.startsWith(folder)) && isAlive(pid)
    } catch {
      // It ended while we looked.
      return false
    }
  })
}

describe('millrace dev', () => {
  let folder: TemporaryFolder
  let dir: string
  let port: number
  let started: RunningCommand[]
  beforeEach(async ({ skip }) => {
    if (!existsSync('/proc/self/cmdline')) skip('only /proc tells which processes run')
    folder = temporaryFolder('dev')
    dir = join(folder.path, '.millrace')
    port = await freeBase()
    started = []
  })
  afterEach(async () => {
    for (const command of started) {
      command.process.kill('SIGTERM')
      await command.ended
    }
    folder[Symbol.dispose]()
  })

  function dev(...args: string[]): RunningCommand {
    const command = startMillrace(['dev', '--dir', dir, '--port', String(port), ...args], { cwd: folder.path })
    started.push(command)
    return command
  }

  /** A base with all the ports that `dev` takes free. */
  async function freeBase(): Promise<number> {
    const [base] = await freePorts(1)
    return base! - (base! % 100)
  }

  async function serving(command: RunningCommand): Promise<void> {
    const ended = command.ended.then(result => {
      throw new Error(`dev ended: ${result.stderr}`)
    })
    ended.catch(() => undefined)
    const banner = waitFor(() => command.stdout.includes('Try, in another terminal'), {
      what: 'dev',
      timeoutMs: 60_000,
    })
    await Promise.race([banner, ended])
  }

  it('serves a topic on three real processes, and Ctrl-C ends all of them within 5 s', async () => {
    const command = dev()
    await serving(command)
    const nodes = processesOf(dir)
    expect(nodes).toHaveLength(3)
    for (const at of [0, 1, 2]) {
      expect(command.stdout).toContain(`http://127.0.0.1:${port + at}`)
      await appendOne(`http://127.0.0.1:${port + at}`, 'demo', `through ${at}`)
    }
    const stopped = performance.now()
    command.process.kill('SIGINT')
    expect(await command.ended).toMatchObject({ exitCode: 0, stderr: '' })
    expect(performance.now() - stopped).toBeLessThan(5000)
    expect(nodes.filter(isAlive)).toEqual([])
  })

  it('keeps its data between runs, and --fresh empties only what it made', async () => {
    const first = dev()
    await serving(first)
    await appendOne(`http://127.0.0.1:${port}`, 'demo', 'kept')
    first.process.kill('SIGTERM')
    await first.ended
    const second = dev()
    await serving(second)
    expect((await readAll(`http://127.0.0.1:${port + 1}`, 'demo')).map(({ value }) => value)).toEqual(['kept'])
    second.process.kill('SIGTERM')
    await second.ended
    const third = dev('--fresh')
    await serving(third)
    expect(await readAll(`http://127.0.0.1:${port + 2}`, 'demo')).toEqual([])

    const foreign = join(folder.path, 'photos')
    mkdirSync(foreign)
    writeFileSync(join(foreign, 'cat.jpg'), 'cat')
    const refused = await startMillrace(['dev', '--fresh', '--dir', foreign, '--port', String(port + 40)]).ended
    expect(refused).toMatchObject({ exitCode: 2, stdout: '', stderr: expect.stringMatching(ONE_LINE) })
    expect(existsSync(join(foreign, 'cat.jpg'))).toBe(true)
  })

  it('`kill -9` of `millrace dev` itself leaves no node running', async () => {
    const command = dev()
    await serving(command)
    const nodes = processesOf(dir)
    expect(nodes).toHaveLength(3)
    command.process.kill('SIGKILL')
    await command.ended
    await waitFor(() => nodes.every(pid => !isAlive(pid)), { what: 'the nodes to end', timeoutMs: 10_000 })
    // And the folder is not lost: what was there is there again.
    const again = dev()
    await serving(again)
  })

  it('starts a node again that ends, and says so', async () => {
    const command = dev()
    await serving(command)
    const [victim] = processesOf(dir)
    process.kill(victim!, 'SIGKILL')
    await waitFor(() => /node \d ended with SIGKILL.*starting it again/.test(command.stderr), {
      what: 'the report',
      timeoutMs: 10_000,
    })
    await waitFor(() => /node \d serves again/.test(command.stderr), { what: 'the restart', timeoutMs: 30_000 })
    expect(processesOf(dir)).toHaveLength(3)
  })

  it('says which ports are taken and offers --port', async () => {
    const blocker = createServer()
    await new Promise<void>(resolve => blocker.listen(port + 11, '127.0.0.1', resolve))
    const result = await dev().ended
    await new Promise(resolve => blocker.close(resolve))
    expect(result).toMatchObject({ exitCode: 4, stdout: '', stderr: expect.stringMatching(ONE_LINE) })
    expect(result.stderr).toContain(`port ${port + 11} is in use; try --port`)
  })

  it('refuses a folder that another dev uses', async () => {
    await serving(dev())
    const second = await startMillrace(['dev', '--dir', dir, '--port', String(port + 40)]).ended
    expect(second).toMatchObject({ exitCode: 4, stdout: '', stderr: expect.stringMatching(ONE_LINE) })
    expect(second.stderr).toContain('another millrace dev uses')
  })

  it('leaves nothing behind when it is stopped while it starts', async () => {
    const command = dev()
    await waitFor(() => existsSync(join(dir, 'node-1', 'node.log')), { what: 'the first node', timeoutMs: 30_000 })
    await sleep(50)
    command.process.kill('SIGINT')
    expect((await command.ended).exitCode).toBe(0)
    expect(processesOf(dir)).toEqual([])
    await serving(dev())
  })
})
