/**
 * Makes the `millrace` command out of what tsc has made: a few files instead of nearly a thousand, since finding and reading
 * those is half of the time in which a node starts. `pnpm build` runs it. docs/decisions/0016-the-command-is-bundled.md
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type OutputChunk, rolldown } from 'rolldown'

/** Modules that are started by their names: processes and worker threads. */
const PROGRAMS = ['main', 'process/lifeline-thread', 'tour/consumer-process', 'tour/producer-process']
/** They find files of their own beside their code: a native module, the code of a worker thread. */
const LEFT_OUTSIDE = ['lmdb', 'pino']
const OUT = fileURLToPath(new URL('program', import.meta.url))

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: string
}

const built = (module: string): string => fileURLToPath(new URL(`dist/${module}.js`, import.meta.url))

await using bundle = await rolldown({
  input: Object.fromEntries(PROGRAMS.map(module => [module, built(module)])),
  platform: 'node',
  external: LEFT_OUTSIDE,
})
rmSync(OUT, { recursive: true, force: true })
// One folder below, as in dist/: what is found relative to a module stays where it was.
const { output } = await bundle.write({
  dir: OUT,
  entryFileNames: '[name].js',
  chunkFileNames: ({ name, moduleIds }) => `shared/${name === 'dist' ? packageOf(moduleIds.at(-1)) : '[name]'}.js`,
})
const chunks = output.filter(file => file.type === 'chunk')
writeFileSync(join(OUT, 'THIRD_PARTY_LICENSES.txt'), licences(chunks))
process.stdout.write(`${chunks.length} files in ${OUT}\n`)

/** The name under which stack traces show what is imported by the name of its package. */
function packageOf(module = ''): string {
  return /^.*\/(?:packages|node_modules)\/(?:@[^/]+\/)?([^/]+)/.exec(module)?.[1] ?? '[name]'
}

/** What the licences of the packages in the bundle ask for: their texts beside it. */
function licences(files: readonly OutputChunk[]): string {
  const folders = files
    .flatMap(file => file.moduleIds)
    .flatMap(id => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id) ?? [])
  const texts = [...new Set(folders)].map(folder => {
    const {
      name,
      version,
      license = 'no licence named',
    } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
    const found = readdirSync(folder).find(file => /^licen[cs]e/i.test(file))
    return `${name} ${version} (${license})\n\n${found === undefined ? 'The package holds no text of it.' : readFileSync(join(folder, found), 'utf8').trim()}\n`
  })
  return texts.sort().join(`\n${'-'.repeat(80)}\n\n`)
}
