/**
 * Every TypeScript block of README and docs/ runs. The blocks of one page are one program, in order, so that a later
 * block can use what an earlier one made; it runs as its own process against a broker in memory. The pages of
 * docs/concepts/ are the client's: packages/client/src/docs.test.ts runs theirs.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startBroker } from '@millrace/broker'
import { expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const URL_IN_DOCS = 'http://127.0.0.1:7070'

function pages(): string[] {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  const ours = docs.filter(file => file.endsWith('.md') && !file.startsWith('concepts/'))
  return ['README.md', ...ours.map(file => join('docs', file))]
}

/** The blocks of a page as one program; imports may stand in any block. */
function programOf(page: string): string {
  const text = readFileSync(join(ROOT, page), 'utf8')
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block).join('\n')
}

function run(file: string): Promise<{ readonly error: Error | null; readonly output: string }> {
  return new Promise(resolve => {
    const args = ['--conditions=millrace-source', '--disable-warning=ExperimentalWarning', file]
    execFile(process.execPath, args, { timeout: 25_000 }, (error, stdout, stderr) =>
      resolve({ error, output: stdout + stderr }),
    )
  })
}

const withCode = pages().filter(page => programOf(page) !== '')

it('README has a program', () => expect(withCode).toContain('README.md'))

it.for(withCode)('the TypeScript of %s runs', async page => {
  await using broker = await startBroker({ topics: { orders: { partitions: 3 }, demo: { partitions: 3 } } })
  // Inside of the workspace, so that packages resolve as they do for its users.
  const folder = mkdtempSync(join(import.meta.dirname, '.snippet-'))
  try {
    const file = join(folder, 'page.ts')
    writeFileSync(file, programOf(page).replaceAll(URL_IN_DOCS, broker.url))
    const { error, output } = await run(file)
    expect(error, output).toBeNull()
  } finally {
    rmSync(folder, { recursive: true })
  }
})
