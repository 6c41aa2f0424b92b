/**
 * Files run out, calls are interrupted, writes come back short: on the real disk, in processes with few descriptors.
 * Nothing is leaked, nothing is acknowledged that is not there, and what fails names itself.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'

afterAll(removeTemporaryFolders)

const url = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href)

/** What a program may use: the store, and a way to take every descriptor that is left and to give them back. */
const PRELUDE = `
  import { closeSync, openSync, readdirSync } from 'node:fs'
  const { openSegmentedLogStore } = await import(${url('./segmented-log-store.ts')})
  const { nodeDisk } = await import(${url('./node-disk.ts')})
  const { TestLog, testBase } = await import(${url('./testing/test-log.ts')})
  const descriptors = () => readdirSync('/proc/self/fd').length
  const taken = []
  const takeAll = () => {
    try {
      for (;;) taken.push(openSync('/dev/null'))
    } catch (error) {
      if (error.code !== 'EMFILE') throw error
    }
  }
  const giveBack = count => taken.splice(0, count ?? taken.length).forEach(fd => closeSync(fd))
  const dir = process.argv[1]
  const problems = []
  const open = () => openSegmentedLogStore({ dir, segmentBytesMax: 4000, tailCacheBytesMax: 0, diskReserveBytes: 0,
    onFatal: error => problems.push('fatal: ' + error.message), onProblem: error => problems.push(error.message) })
  const append = (log, source) => new Promise(done => log.write({ frames: source.append(1, { payload: new Uint8Array(900) }), commit: 1 }, done))
  const codeOf = error => error.code + ': ' + error.message
`

/** Runs `program` with at most `limit` open files; what it prints last is JSON. */
async function runWithFew<T>(limit: number, program: string, around: readonly string[] = []): Promise<T> {
  const dir = join(await temporaryFolder(), 'log')
  const node = [process.execPath, '--conditions=millrace-source', '--input-type=module', '-e', PRELUDE + program, dir]
  const limited = ['-c', `ulimit -n ${limit}; exec "$@"`, 'sh', ...around, ...node]
  const { stdout } = await promisify(execFile)('sh', limited, { timeout: 60_000 })
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as T
}

/** A log of a few segments, and what was acknowledged of it. */
const FILLED = `
  const first = await open()
  await first.create(1, { replicaId: 1, base: testBase() })
  const source = new TestLog(1, first.groups()[0].base)
  for (let at = 0; at < 12; at++) await append(first.groups()[0], source)
  await first.close()
`

test('a start that runs out of descriptors at any point names it, leaks none, and works once there are some', async () => {
  const { failures, startsAt, leaked, end } = await runWithFew<{
    failures: string[]
    startsAt: number
    leaked: number[]
    end: number
  }>(
    64,
    `${FILLED}
    const baseline = descriptors()
    const failures = []
    const leaked = []
    let startsAt = -1
    let end = 0
    for (let free = 0; free < 40 && startsAt < 0; free++) {
      takeAll()
      giveBack(free)
      const outcome = await open().catch(codeOf)
      giveBack()
      if (typeof outcome === 'string') failures.push(outcome)
      else {
        const [log] = outcome.groups()
        if (log === undefined) failures.push('refused: ' + outcome.refused()[0].reason.message)
        else {
          startsAt = free
          end = log.end.index
        }
        await outcome.close()
      }
      leaked.push(descriptors() - baseline)
    }
    console.log(JSON.stringify({ failures, startsAt, leaked, end }))`,
  )
  expect(failures.length).toBeGreaterThan(0)
  for (const failure of failures) expect(failure).toContain('EMFILE')
  expect(startsAt).toBe(failures.length)
  expect(leaked).toEqual(leaked.map(() => 0))
  expect(end).toBe(13)
})

test('an append that needs a segment and gets no descriptor is not acknowledged; the error names it', async () => {
  const { acknowledged, there, problems, leaked } = await runWithFew<{
    acknowledged: number
    there: number
    problems: string[]
    leaked: number
  }>(
    64,
    `${FILLED}
    const baseline = descriptors()
    const store = await open()
    const [log] = store.groups()
    const next = new TestLog(1, log.end)
    takeAll()
    let acknowledged = log.durable.index
    const appends = []
    for (let at = 0; at < 8; at++) appends.push(append(log, next).then(() => { acknowledged = log.durable.index }))
    await Promise.race([Promise.all(appends), new Promise(resolve => {
      const timer = setInterval(() => { if (problems.length > 0) { clearInterval(timer); resolve() } }, 5)
    })])
    giveBack()
    await store.close().catch(error => problems.push(error.message))
    const leaked = descriptors() - baseline
    const again = await open()
    console.log(JSON.stringify({ acknowledged, there: again.groups()[0].end.index, problems, leaked }))
    await again.close()`,
  )
  expect(problems.some(problem => problem.includes('EMFILE'))).toBe(true)
  expect(there).toBeGreaterThanOrEqual(acknowledged)
  expect(leaked).toBe(0)
})

test('a read without a descriptor fails by name, leaks none, and succeeds when there is one', async () => {
  const { failed, read, leaked } = await runWithFew<{ failed: string[]; read: number; leaked: number }>(
    64,
    `${FILLED}
    const baseline = descriptors()
    const store = await open()
    const [log] = store.groups()
    takeAll()
    const failed = []
    for (let at = 0; at < 50; at++) await log.read(2, 3, 1).catch(error => failed.push(error.message))
    giveBack()
    const [frame] = await log.read(2, 3, 1)
    await store.close()
    console.log(JSON.stringify({ failed, read: frame.header.index, leaked: descriptors() - baseline }))`,
  )
  expect(failed.length).toBe(50)
  for (const failure of failed) expect(failure).toContain('EMFILE')
  expect({ read, leaked }).toEqual({ read: 2, leaked: 0 })
})

test('interrupted system calls are made again, and nothing of it is seen', async context => {
  const hasStrace = await promisify(execFile)('strace', ['-V']).catch(() => null)
  if (hasStrace === null) return context.skip('not run: there is no strace to interrupt calls with')
  const trace = join(await temporaryFolder(), 'trace')
  const calls = 'pwritev,pwrite64,pread64,preadv,fdatasync,fsync,openat'
  const around = ['strace', '-f', '-qq', '-o', trace, '-e', `trace=${calls}`]
  const inject = ['-e', 'inject=pwritev,pwrite64,fdatasync,fsync:error=EINTR:when=2+3']
  const { end, problems } = await runWithFew<{ end: number; problems: string[] }>(
    256,
    `${FILLED}
    const again = await open()
    const end = again.groups()[0].end.index
    for (let index = 2; index <= end; index++) await again.groups()[0].read(index, index + 1, 1)
    await again.close()
    console.log(JSON.stringify({ end, problems }))`,
    [...around, ...inject],
  )
  expect({ end, problems }).toEqual({ end: 13, problems: [] })
  expect((await readFile(trace, 'utf8')).split('EINTR').length - 1).toBeGreaterThan(5)
})
