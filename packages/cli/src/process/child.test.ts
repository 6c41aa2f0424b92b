import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Child, startChild } from './child.ts'
import { waitFor } from './wait-for.ts'

const LIFELINE = new URL('./lifeline.ts', import.meta.url).href
const CHILD = new URL('./child.ts', import.meta.url).href

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // A zombie answers signals too; its state says what it is.
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

describe('Child', () => {
  let folder: string
  let child: Child | undefined
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-child-'))
    child = undefined
  })
  afterEach(async () => {
    child?.kill('SIGKILL')
    await child?.exited
    rmSync(folder, { recursive: true })
  })

  function script(name: string, source: string): { file: string; args: string[] } {
    const file = join(folder, name)
    writeFileSync(file, source)
    return { file: process.execPath, args: ['--conditions=millrace-source', file] }
  }

  it('keeps the last words of this run, without log lines', async () => {
    const logFile = join(folder, 'log')
    writeFileSync(logFile, 'an older run\n')
    const entry = script(
      'talk.mts',
      `console.log('{"level":30}'); console.error('no room'); console.log('{"level":50}')`,
    )
    child = await startChild({ entry, logFile })
    expect(await child.exited).toEqual({ code: 0, signal: null })
    expect(child.lastWords()).toBe('no room')
    expect(child.kill('SIGTERM')).toBe(false)
  })

  it('stops a process that ignores SIGTERM', async () => {
    const entry = script(
      'stubborn.mts',
      `process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)`,
    )
    child = await startChild({ entry, logFile: join(folder, 'log') })
    await waitFor(() => child?.lastWords() === 'up', { what: 'the child', timeoutMs: 10_000 })
    expect(await child.stop(200)).toEqual({ code: null, signal: 'SIGKILL' })
  })

  it('rejects when the program is not there', async () => {
    await expect(startChild({ entry: { file: '/none', args: [] }, logFile: join(folder, 'log') })).rejects.toThrow(
      'ENOENT',
    )
  })

  it.each([
    ['idle', 'setInterval(() => {}, 1000)'],
    ['busy for ever', `process.on('SIGTERM', () => {}); setTimeout(() => { for (;;); }, 500)`],
    ['ignoring SIGTERM', `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)`],
  ])('does not outlive a parent that was killed: a child that is %s', async (_, work) => {
    const grandchild = script(
      'child.mts',
      `import { watchLifeline } from '${LIFELINE}'; watchLifeline(3, 500); ${work}`,
    )
    const parent = script(
      'parent.mts',
      `import { startChild } from '${CHILD}'
       const child = await startChild({ entry: ${JSON.stringify(grandchild)}, logFile: '${join(folder, 'log')}' })
       console.log(child.pid)
       setInterval(() => {}, 1000)`,
    )
    const running = spawn(parent.file, parent.args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const pid = await new Promise<number>(resolve =>
      running.stdout.once('data', (text: Buffer) => resolve(Number(text))),
    )
    await new Promise(resolve => setTimeout(resolve, 1000))
    expect(isAlive(pid)).toBe(true)
    running.kill('SIGKILL')
    await waitFor(() => !isAlive(pid), { what: 'the end of the child', timeoutMs: 10_000 })
  })
})
