import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { expect, it } from 'vitest'
import { commandName } from './command-name.ts'

it('says how the reader starts the command in another terminal', () => {
  const base = mkdtempSync(join(tmpdir(), 'millrace-path-'))
  const npx = join(base, '_npx', 'abc', 'node_modules', '.bin')
  const own = join(base, 'bin')
  for (const folder of [npx, own]) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, process.platform === 'win32' ? 'pnpm.cmd' : 'pnpm'), '')
  }
  expect(commandName({ PATH: [npx, own].join(delimiter) }, true)).toBe('pnpm millrace')
  expect(commandName({ PATH: npx }, true)).toBe('npx -y pnpm@12 millrace')
  expect(commandName({ PATH: own }, false)).toBe('millrace')
  rmSync(base, { recursive: true })
})
