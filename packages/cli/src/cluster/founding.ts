/** Founds a cluster over the empty folders of nodes on this machine. */
import { initCluster, loadConfig } from '@millrace/broker'
import type { NodeLayout } from './node-layout.ts'

/** @throws StartError FOLDER_NOT_EMPTY and others; a folder that was made already stays */
export async function foundCluster(layouts: readonly NodeLayout[]): Promise<void> {
  await initCluster(layouts.map(({ configFile }) => loadConfig({ file: configFile })))
}
