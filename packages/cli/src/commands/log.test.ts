import { spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { openDataFolder, openSegmentedLogStore } from '@millrace/log-store'
import { TestLog, testBase, written } from '@millrace/log-store/testing'
import { openLmdbStateStore } from '@millrace/topics'
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
  const states = openLmdbStateStore(join(dir, 'state'))
  const puts = [{ key: new Uint8Array([83]), value: new Uint8Array([8, 1]) }]
  await states.commit(4, { applied: { index: 3, term: 1 }, full: true, puts, deletes: [] })
  await states.close()
  await folder.close()
})
afterAll(() => rm(parent, { recursive: true }))

describe('millrace log', () => {
  it('verifies a whole folder', async () => {
    const { exitCode, stdout, stderr } = await run('log', 'verify', dir)
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(stdout).toMatch(
      /node 2 of cluster mill, stopped in order; 1 groups, 1 segments .* 2 rounds, 3 entries,.* 1 checkpoints of 2 values .*\nwhole\n$/,
    )
    const json = JSON.parse((await run('log', 'verify', dir, '--json')).stdout) as object
    expect(json).toMatchObject({ whole: true, damage: [], notChecked: [], counts: { checkpoints: 1, snapshots: 0 } })
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
    expect(verified.stdout).toContain('drop this one and add a new one')
    const json = JSON.parse((await run('log', 'verify', dir, '--json')).stdout) as object
    expect(json).toMatchObject({ whole: false, damage: [{ file: SEGMENT, position: 704, advice: expect.any(String) }] })
    const dumped = await run('log', 'dump', dir)
    expect(dumped).toMatchObject({ exitCode: 1, stderr: `damaged: ${SEGMENT}, byte 704: frame: payload-checksum\n` })
  })

  it('lists damage of checkpoints with its place, its group, and what to do', async () => {
    const path = join(dir, 'state/data.mdb')
    const content = await readFile(path)
    const places: number[] = []
    const key = Buffer.from([0, 0, 0, 0, 0, 0, 0, 4, 83])
    for (let at = content.indexOf(key); at >= 0; at = content.indexOf(key, at + 1)) places.push(at)
    for (const at of places) content[at + key.length + 4]! ^= 1
    await writeFile(path, content)
    const { exitCode, stdout } = await run('log', 'verify', dir)
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(
      /damaged {6}state\/data\.mdb, byte \d+: state of group 4: entry 53 does not match its checksum\n {13}no record is lost/,
    )
    await writeFile(path, content.subarray(0, 5_000))
    expect((await run('log', 'verify', dir)).stdout).toMatch(
      /damaged {6}state\/data\.mdb, byte 0: it is cut short|meta page/,
    )
  })

  it('refuses what is no data folder, or may not be read, and says so', async () => {
    const empty = join(parent, 'empty')
    await mkdir(empty)
    const file = join(parent, 'a-file')
    await writeFile(file, '')
    for (const [path, what] of [
      [empty, 'not the data folder of a node'],
      [file, 'ENOTDIR'],
      [join(parent, 'nowhere'), 'ENOENT'],
    ] as const) {
      const refused = await run('log', 'verify', path)
      expect(refused, path).toMatchObject({ exitCode: 2, stdout: '', stderr: expect.stringContaining(what) })
    }
  })

  it('refuses a folder that it may not read', async context => {
    if (process.getuid?.() === 0 && spawnSync('setpriv', ['--version']).status !== 0)
      return context.skip('not run: root may read everything, and there is no setpriv to be somebody else')
    const main = join(import.meta.dirname, '../main.ts')
    await chmod(dir, 0o000)
    await chmod(parent, 0o755)
    const command = [process.execPath, '--conditions=millrace-source', main, 'log', 'verify', dir]
    const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups', ...command] : command
    const { status, stderr } = spawnSync(asNobody[0]!, asNobody.slice(1), { encoding: 'utf8' })
    await chmod(dir, 0o700)
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringMatching(/cannot read .*EACCES/) })
  })
})
