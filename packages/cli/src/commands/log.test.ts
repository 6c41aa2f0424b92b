import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { openDataFolder, openSegmentedLogStore } from '@millrace/log-store'
import { TestLog, testBase, written } from '@millrace/log-store/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runProgram } from '../program.ts'
import { streamTerminal } from '../terminal/terminal.ts'

let parent = ''
let dir = ''
const SEGMENT = 'log/groups/4/0000000000000001-00000001.log'

async function run(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const stdout = new PassThrough({ highWaterMark: 1_000_000 })
  const stderr = new PassThrough()
  const terminal = streamTerminal(stdout as unknown as NodeJS.WriteStream, stderr)
  const exitCode = await runProgram(args, terminal)
  return { exitCode, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
}

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'millrace-cli-log-'))
  dir = join(parent, 'data')
  const folder = await openDataFolder(dir, { create: { clusterId: 'mill', nodeId: 2 } })
  const onFatal = (error: Error): never => {
    throw error
  }
  const store = await openSegmentedLogStore({ dir: folder.logDir, diskReserveBytes: 0, onFatal })
  const log = await store.create(4, { replicaId: 1, base: testBase() })
  const source = new TestLog(4, log.base)
  await written(log, { frames: source.append(2) })
  await written(log, { frames: source.append(1, { recordCount: 5 }) })
  await store.close()
  await folder.close()
})
afterAll(() => rm(parent, { recursive: true }))

describe('millrace log', () => {
  it('verifies a whole folder', async () => {
    const { exitCode, stdout, stderr } = await run('log', 'verify', dir)
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(stdout).toMatch(
      /node 2 of cluster mill, stopped in order; 1 groups, 1 segments .* 2 rounds, 3 entries,.*\nwhole\n$/,
    )
  })

  it('prints the log, one line per entry', async () => {
    const { exitCode, stdout } = await run('log', 'dump', dir)
    const lines = stdout.trimEnd().split('\n')
    expect({ exitCode, lines: lines.length }).toEqual({ exitCode: 0, lines: 4 })
    expect(lines[0]?.trim()).toMatch(
      /^GROUP +INDEX +TERM +OFFSETS +KIND +TIME +PAYLOAD +CRC +CHAIN +POSITION +PRODUCER$/,
    )
    expect(lines[3]).toMatch(/^ +4 +4 +1 +2-6 +records +1970-01-01T00:00:01.030Z +7 [0-9a-f]{8} [0-9a-f]{8} +1216 -$/)
    const json = (await run('log', 'dump', dir, '--group', '4', '--from', '4', '--json', '--rounds')).stdout
    const items = json
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as { type: string })
    expect(items.map(({ type }) => type)).toEqual(['segment', 'round', 'frame'])
    expect(items[2]).toMatchObject({ kind: 'records', index: 4, baseOffset: 2, recordCount: 5, producerId: null })
  })

  it('refuses a folder in use, a folder that is none, a group that is not there', async () => {
    const owner = await openDataFolder(dir)
    expect(await run('log', 'verify', dir)).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining(`process ${process.pid}`),
    })
    expect(await run('log', 'dump', dir)).toMatchObject({ exitCode: 4 })
    await owner.close()
    expect(await run('log', 'verify', parent)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('not the data folder'),
    })
    expect(await run('log', 'dump', dir, '--group', '5')).toMatchObject({ exitCode: 2 })
    expect(await run('log', 'dump', dir, '--from', '5')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--group'),
    })
  })

  it('lists damage and ends with 1', async () => {
    const file = await open(join(dir, SEGMENT), 'r+')
    await file.write(new Uint8Array([1]), 0, 1, 512 + 192 + 104)
    await file.close()
    const verified = await run('log', 'verify', dir)
    expect(verified.exitCode).toBe(1)
    expect(verified.stdout).toContain(`damaged      ${SEGMENT}, byte 704: frame: payload-checksum`)
    expect(verified.stdout).toMatch(/\n1 place is damaged\n$/)
    const json = JSON.parse((await run('log', 'verify', dir, '--json')).stdout) as object
    expect(json).toMatchObject({ whole: false, damage: [{ file: SEGMENT, position: 704 }] })
    const dumped = await run('log', 'dump', dir)
    expect(dumped).toMatchObject({ exitCode: 1, stderr: `damaged: ${SEGMENT}, byte 704: frame: payload-checksum\n` })
  })
})
