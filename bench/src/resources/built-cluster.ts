/** Three nodes of the built program. */
import { freePorts, type LocalCluster, temporaryFolder } from '@millrace/testkit'
import { builtCli } from '../built-program.ts'

const NODES = 3

export interface BuiltCluster extends AsyncDisposable {
  readonly local: LocalCluster
}

/** Founded over empty folders, and not started. */
export async function foundBuiltCluster(): Promise<BuiltCluster> {
  const built = await builtCli()
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
