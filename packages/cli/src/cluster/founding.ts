/** Founds a cluster over the empty folders of nodes on this machine. */
import type { NodeLayout } from './node-layout.ts'

/** @throws StartError FOLDER_NOT_EMPTY and others; a folder that was made already stays */
export async function foundCluster(layouts: readonly NodeLayout[]): Promise<void> {
  // Loaded only where a cluster is founded: other commands start without the broker.
  const { initCluster, loadConfig } = await import('@millrace/broker')
  await initCluster(layouts.map(({ configFile }) => loadConfig({ file: configFile })))
}
