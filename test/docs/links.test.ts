/**
 * Links of the documentation lead somewhere: a relative link to a file or folder that is there, an anchor to a heading of its page.
 * A link that is followed by the name of a test, as in `[flow](../src/flow.test.ts) "the name", "another"`, leads to a file
 * in which that name stands as a literal.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const PAGES = ['*.md', 'docs/**/*.md', 'packages/*/README.md', 'examples/*/README.md']

const LINK = /\[[^\]]*\]\((?<target>[^()\s]+)\)(?<names>(?:,?\s"[^"]+")*)/g

interface Link {
  /** Below the root, or of another site. */
  readonly file: string
  readonly anchor: string | undefined
  readonly testNames: readonly string[]
}

const pages = PAGES.flatMap(pattern => globSync(pattern, { cwd: ROOT })).toSorted()

/** The text without code, in which brackets mean something else. */
function proseOf(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8')
    .replace(/^```.*?^```$/gms, '')
    .replace(/^ {4}.*$/gm, '')
}

function linksOf(page: string): readonly Link[] {
  // A name may hold backticks, so code in a line goes only where it hides a link.
  const prose = proseOf(page).replace(/`[^`\n]*\]\([^`\n]*`/g, '')
  return [...prose.matchAll(LINK)]
    .map(({ groups }) => groups as { target: string; names: string })
    .filter(({ target }) => !/^[a-z]+:/.test(target))
    .map(({ target, names }) => {
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      return {
        file,
        anchor,
        testNames: [...names.matchAll(/"([^"]+)"/g)].map(([, name]) => name!.replaceAll('\n', ' ')),
      }
    })
}

/** Anchors of a page's headings: lower case, spaces as hyphens, without punctuation. */
function anchorsOf(page: string): readonly string[] {
  return [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  )
}

/** Whether `name` is a whole string of the program, as the title of a test is. */
function hasLiteral(source: string, name: string): boolean {
  return ["'", '`', '"'].some(quote => source.includes(quote + name.replaceAll(quote, `\\${quote}`) + quote))
}

/** What is wrong with a link; undefined: nothing. */
function faultOf({ file, anchor, testNames }: Link): string | undefined {
  const path = join(ROOT, file)
  if (!existsSync(path)) return `${file} is not there`
  if (anchor !== undefined && !anchorsOf(file).includes(anchor)) return `${file} has no heading #${anchor}`
  if (testNames.length === 0) return undefined
  const source = readFileSync(path, 'utf8')
  const missing = testNames.filter(name => !hasLiteral(source, name))
  return missing.length === 0 ? undefined : `${file} has no test ${missing.map(name => `"${name}"`).join(', ')}`
}

test.each(pages)('the links of %s lead somewhere', page => {
  expect(linksOf(page).flatMap(link => faultOf(link) ?? [])).toEqual([])
})

test('the pages that point to tests are among them, and their tests are seen', () => {
  for (const page of ['docs/concepts/raft.md', 'docs/operate/failures.md'])
    expect(linksOf(page).flatMap(link => link.testNames).length, page).toBeGreaterThan(10)
})

test('a link that leads nowhere is a fault', () => {
  const link = { file: 'README.md', anchor: undefined, testNames: [] }
  expect(faultOf(link)).toBeUndefined()
  expect(faultOf({ ...link, file: 'docs/no-such-page.md' })).toContain('is not there')
  expect(faultOf({ ...link, anchor: 'no-such-heading' })).toContain('no heading')
  const [file, title] = ['test/docs/links.test.ts', 'a link that leads nowhere is a fault']
  expect(faultOf({ ...link, file, testNames: [title] })).toBeUndefined()
  expect(faultOf({ ...link, file, testNames: [title.slice(0, -1)] })).toContain('no test')
})
