/** Three nodes of what `pnpm build` made: as a published package runs, and not from the sources like everything else here. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { LocalCluster } from '@millrace/cli'
import { freePorts, temporaryFolder } from '@millrace/testkit'

const NODES = 3
const BUILT = new URL('../../../packages/cli/dist/', import.meta.url)

export interface BuiltCluster extends AsyncDisposable {
  readonly local: LocalCluster
}

/** Founded over empty folders, and not started. @throws where the build is not there */
export async function foundBuiltCluster(): Promise<BuiltCluster> {
  const main = fileURLToPath(new URL('main.js', BUILT))
  if (!existsSync(main)) throw new Error(`${main} is not there: run \`pnpm build\` first`)
  // The built module starts the built program: it takes its own kind.
  const built: typeof import('@millrace/cli') = await import(new URL('index.js', BUILT).href)
  const free = await freePorts(NODES * 3)
  const ports = Array.from({ length: NODES }, (_, at) => ({
    client: free[at]!,
    peer: free[NODES + at]!,
    admin: free[2 * NODES + at]!,
  }))
  const folder = temporaryFolder('resources')
  const local = new built.LocalCluster({ folder: folder.path, ports })
  try {
    local.configure()
    await local.found()
  } catch (error) {
    folder[Symbol.dispose]()
    throw error
  }
  return {
    local,
    async [Symbol.asyncDispose]() {
      await local.crash()
      folder[Symbol.dispose]()
    },
  }
}
