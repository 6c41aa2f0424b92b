/** What `pnpm build` makes, as a published package runs it. */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { builtCli } from '../../bench/src/built-program.ts'
import { temporaryFolder } from './testkit.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
const PACKAGE = join(CHECKOUT, 'packages/cli')
const BUILD_LIMIT_MS = 180_000

/** Of the checkout, in a folder that is not part of it. */
async function run(file: string, args: readonly string[], cwd = CHECKOUT): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { cwd })
  return stdout
}

describe('the built program', () => {
  beforeAll(async () => void (await builtCli()), BUILD_LIMIT_MS)

  const { bin, version, files } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'))
  const main = join(PACKAGE, bin.millrace)

  it('is what the package publishes', () => {
    expect(readFileSync(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
    expect(files).toContain('program')
    expect(readFileSync(join(PACKAGE, 'program/THIRD_PARTY_LICENSES.txt'), 'utf8')).toContain('@grpc/grpc-js')
  })

  it('says its version', async () => {
    expect((await run(process.execPath, [main, '--version'])).trim()).toBe(version)
  })

  it('runs a cluster of itself, kills a node and loses nothing', async () => {
    using folder = temporaryFolder('built')
    const report = JSON.parse(
      await run(process.execPath, [main, 'tour', '--lines', '5000', '--json', '--dir', folder.path], folder.path),
    )
    expect(report).toMatchObject({ ok: true })
  })

  it('loads a few files where the sources are hundreds', async () => {
    using folder = temporaryFolder('built')
    const list = `
      import { registerHooks } from 'node:module'
      const files = new Set()
      registerHooks({ load: (url, context, next) => (url.startsWith('file:') && files.add(url), next(url, context)) })
      process.on('exit', () => process.stdout.write(JSON.stringify([...files])))`
    const hooks = `data:text/javascript,${encodeURIComponent(list)}`
    const file = join(folder.path, 'millrace.json')
    writeFileSync(file, JSON.stringify({ node: 1, dataDir: join(folder.path, 'none') }))
    const said = await promisify(execFile)(process.execPath, [
      '--import',
      hooks,
      main,
      'serve',
      '--config',
      file,
    ]).catch((error: { stdout: string; stderr: string }) => error)
    // The folder is missing, which is found when everything is loaded.
    expect(said.stderr).toContain('is missing')
    const loaded: string[] = JSON.parse(said.stdout)
    expect(loaded).toContainEqual(expect.stringContaining('/program/main.js'))
    expect(loaded.filter(url => /\/packages\/(?!cli\/program\/)[^/]+\/(src|dist)\//.test(url))).toEqual([])
    expect(loaded.length).toBeLessThan(200)
  })
})
