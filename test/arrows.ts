/**
 * The arrows of the house: which package may import which. Imports go down only, through a package's exports. Biome
 * already refuses imports that package.json does not declare; this says what package.json may declare, and that nobody
 * reaches into another package by a path.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const BELOW: Readonly<Record<string, readonly string[]>> = {
  proto: [],
  record: [],
  'raft-core': [],
  'log-store': ['record'],
  'raft-node': ['record', 'proto', 'raft-core', 'log-store'],
  topics: ['record', 'proto', 'raft-core', 'log-store', 'raft-node'],
  broker: ['record', 'proto', 'raft-core', 'log-store', 'raft-node', 'topics'],
  client: ['record', 'proto'],
  cli: ['record', 'proto', 'log-store', 'topics', 'broker', 'client'],
  // For tests only: nothing that is shipped imports it.
  testkit: ['record', 'proto', 'raft-core', 'log-store', 'raft-node', 'topics', 'broker', 'client', 'cli'],
}

/** Packages that tests and tools of a package may use beside those below it. */
const FOR_TESTS: Readonly<Record<string, readonly string[]>> = {
  record: ['proto'],
  client: ['broker', 'testkit'],
}

const IMPORT = /(?:from|import\()\s*'([^']+)'/g

/** Every import that goes up, sideways or through a file path; one line each, naming the rule. */
export function brokenArrows(): string[] {
  const files = spawnSync('git', ['ls-files', 'packages/*.ts'], { encoding: 'utf8' }).stdout.split('\n')
  return files.filter(file => file !== '').flatMap(brokenArrowsOf)
}

function brokenArrowsOf(file: string): string[] {
  const owner = file.split('/')[1] ?? ''
  const below = BELOW[owner]
  if (below === undefined) return [`${file}: package ${owner} has no place in test/arrows.ts`]
  const isProduct = file.includes('/src/') && !file.endsWith('.test.ts') && !file.includes('/testing/')
  const allowed = isProduct ? below : [...below, ...(FOR_TESTS[owner] ?? [])]
  const depth = file.split('/').length - 3
  const broken: string[] = []
  for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(IMPORT)) {
    const target = /^@millrace\/([^/]+)/.exec(specifier)?.[1]
    if (target !== undefined && target !== owner && !allowed.includes(target))
      broken.push(`${file}: imports ${specifier}; ${owner} may import ${allowed.join(', ') || 'no other package'}`)
    const climbs = specifier.split('/').filter(part => part === '..').length
    if (specifier.startsWith('.') && climbs > depth)
      broken.push(`${file}: imports ${specifier}, a path out of its package; import the package by its name`)
  }
  return broken
}
