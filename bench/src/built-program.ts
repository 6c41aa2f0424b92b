/** What `pnpm build` makes, made now: nodes that run as from a published package, and not from the sources. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

type Cli = typeof import('@millrace/cli')

const CHECKOUT = new URL('../../', import.meta.url)

/**
 * The built package: the processes that it starts are of its own kind, the built program. Nobody measures a build that is
 * older than the sources, since it is made here.
 *
 * @throws Error with what the compiler says where it does not compile
 */
export function builtCli(): Promise<Cli> {
  built ??= build()
  return built
}

let built: Promise<Cli> | undefined

async function build(): Promise<Cli> {
  const at = (path: string): string => fileURLToPath(new URL(path, CHECKOUT))
  await make(at('node_modules/.bin/tsc'), '-b')
  await make(process.execPath, at('packages/cli/bundle.ts'))
  return (await import(new URL('packages/cli/dist/index.js', CHECKOUT).href)) as Cli
}

async function make(file: string, ...args: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)(file, args, { cwd: fileURLToPath(CHECKOUT) })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`the program could not be built:\n${stdout}${stderr}`, { cause: error })
  }
}
