/**
 * The format of the log is documented well enough to be read in another language: a reader in Python, written from
 * docs/internals/log-format.md, against logs that the store has written.
 */
import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DumpedFrame, DumpItem } from '../../packages/log-store/src/offline/dump.ts'
import {
  dumpedItems,
  makeRecycledFolder,
  makeSmallFolder,
  SMALL_FOLDER,
} from '../../packages/log-store/src/offline/testing/small-folder.ts'

const READER = fileURLToPath(new URL('read_segment.py', import.meta.url))
const hasPython = spawnSync('python3', ['--version']).status === 0

let parent = ''
let items: DumpItem[] = []

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'millrace-reader-'))
  await makeSmallFolder(join(parent, 'data'))
  items = await dumpedItems(join(parent, 'data'))
})
afterAll(() => rm(parent, { recursive: true }))

/** A test that is listed as not run where there is no Python. */
function testWithPython(name: string, run: () => Promise<void> | void): void {
  test(name, async context => {
    if (!hasPython) return context.skip('not run: there is no python3 here')
    await run()
  })
}

function read(folder: string, group: number): { exitCode: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync('python3', [READER, join(folder, 'log/groups', String(group))], {
    encoding: 'utf8',
  })
  return { exitCode: status, stdout, stderr }
}

function framesOf(group: number): DumpedFrame[] {
  return items.filter(item => item.type === 'frame').filter(({ header }) => header.group === group)
}

testWithPython('it finds every entry and record of whole logs', () => {
  for (const group of [SMALL_FOLDER.busyGroup, SMALL_FOLDER.quietGroup]) {
    const frames = framesOf(group)
    const { exitCode, stdout, stderr } = read(join(parent, 'data'), group)
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({
      segments: new Set(frames.map(({ file }) => file)).size,
      frames: frames.length,
      records: frames.reduce((sum, { header }) => sum + header.recordCount, 0),
      last: frames.at(-1)?.header.index,
    })
  }
  expect(JSON.parse(read(join(parent, 'data'), SMALL_FOLDER.emptyGroup).stdout)).toMatchObject({ frames: 0, last: 1 })
})

testWithPython('it stops where the rounds of a segment end that lies over an older file', async () => {
  const folder = join(parent, 'recycled')
  await makeRecycledFolder(folder)
  const frames = (await dumpedItems(folder)).filter(item => item.type === 'frame')
  const { exitCode, stdout, stderr } = read(folder, SMALL_FOLDER.busyGroup)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  expect(JSON.parse(stdout)).toMatchObject({ segments: 2, last: frames.at(-1)?.header.index })
})

testWithPython('it notices one flipped bit, wherever it is', async () => {
  const group = SMALL_FOLDER.busyGroup
  const frame = framesOf(group).find(({ bytes }) => bytes > 500)!
  const segment = frame.file
  const round = items.find(item => item.type === 'round' && item.file === segment)
  const record = round?.type === 'round' ? round.record : undefined
  const places: (readonly [what: string, file: string, position: number])[] = [
    ['segment header', segment, 33],
    ['zeroes of the segment header', segment, 300],
    ['round record', segment, record!.position + 100],
    ['frame header', segment, frame.position + 40],
    ['chain of a frame', segment, frame.position + 93],
    ['payload', segment, frame.position + 104 + 200],
    ['zeroes after a round', segment, record!.position + 192 + record!.framesLength + 1],
    ['base record', `log/groups/${group}/base`, 40],
    ['configuration of the base record', `log/groups/${group}/base`, 129],
  ]
  for (const [what, file, position] of places) {
    const folder = join(parent, 'flipped')
    await cp(join(parent, 'data'), folder, { recursive: true })
    const handle = await open(join(folder, file), 'r+')
    const byte = new Uint8Array(1)
    await handle.read(byte, 0, 1, position)
    byte[0]! ^= 16
    await handle.write(byte, 0, 1, position)
    await handle.close()
    const { exitCode, stderr } = read(folder, group)
    expect(exitCode, what).toBe(1)
    expect(stderr, what).toContain(`damaged: ${join(folder, file)}, byte `)
    await rm(folder, { recursive: true })
  }
})

testWithPython('it is at most a hundred lines and imports the standard library only', async () => {
  const source = await readFile(READER, 'utf8')
  expect(source.split('\n').length - 1).toBeLessThanOrEqual(100)
  expect(source.match(/^(?:import|from) .*$/gm)).toEqual(['import json, os, re, struct, sys, zlib'])
})
