import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { compileCacheFolder } from './compilation.ts'
import { millrace } from './entry-point.ts'

describe('compileCacheFolder', () => {
  test.each([
    [{ HOME: '/home/a' }, '/home/a/.cache/millrace/compiled'],
    [{ HOME: '/home/a', XDG_CACHE_HOME: '/caches' }, '/caches/millrace/compiled'],
    [{ HOME: '/home/a', XDG_CACHE_HOME: 'caches' }, '/home/a/.cache/millrace/compiled'],
    [{ HOME: '/home/a', NODE_COMPILE_CACHE: '/other' }, '/other'],
    [{ NODE_COMPILE_CACHE: '' }, undefined],
  ])('%j', (env, folder) => {
    expect(compileCacheFolder(env)).toBe(folder)
  })
})

describe('a command', () => {
  let home = ''

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'millrace-home-'))
  })

  afterEach(() => rmSync(home, { recursive: true }))

  function version(env: NodeJS.ProcessEnv): string {
    const { NODE_COMPILE_CACHE: _, NODE_DISABLE_COMPILE_CACHE: __, XDG_CACHE_HOME: ___, ...rest } = process.env
    const { file, args } = millrace('--version')
    const { stdout, stderr, status } = spawnSync(file, args, { encoding: 'utf8', env: { ...rest, ...env } })
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
    return stdout.trim()
  }

  test('leaves what was compiled in the home of its user', () => {
    expect(version({ HOME: home })).toMatch(/^\d+\.\d+\.\d+/)
    expect(readdirSync(join(home, '.cache', 'millrace', 'compiled'))).not.toEqual([])
  })

  test('leaves nothing where it is told not to, and needs no home', () => {
    expect(version({ HOME: home, NODE_DISABLE_COMPILE_CACHE: '1' })).toMatch(/^\d/)
    expect(readdirSync(home)).toEqual([])
    const file = join(home, 'file')
    writeFileSync(file, '')
    expect(version({ HOME: file })).toMatch(/^\d/)
  })
})
