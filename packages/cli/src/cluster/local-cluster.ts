/**
 * A cluster of node processes on this machine, over one folder: what `dev`, `tour` and the testkit start. It is founded
 * once, over empty folders; every later start finds it there. Ends only processes that it started.
 */

import { type ClusterSummary, summarize } from './cluster-summary.ts'
import { foundCluster } from './founding.ts'
import { nodeStatus } from './node-api.ts'
import type { ExtraSettings, NodeLayout, NodePorts } from './node-layout.ts'
import { layOutNodes, writeNodeConfigs } from './node-layout.ts'
import { NodeProcess } from './node-process.ts'

export interface LocalClusterOptions {
  /** Below it each node has a folder of its own. */
  readonly folder: string
  /** One per node. */
  readonly ports: readonly NodePorts[]
  readonly settings?: ExtraSettings
}

export class LocalCluster {
  readonly layouts: readonly NodeLayout[]
  /** By node number, from 1. */
  readonly nodes: readonly NodeProcess[]
  private readonly settings: ExtraSettings

  constructor(options: LocalClusterOptions) {
    this.layouts = layOutNodes(options.folder, options.ports)
    this.nodes = this.layouts.map(layout => new NodeProcess(layout))
    this.settings = options.settings ?? {}
  }

  /** Client URLs. */
  get urls(): string[] {
    return this.nodes.map(node => node.url)
  }

  /** Writes the config files: at every start, since addresses may differ from the last one's. */
  configure(): void {
    writeNodeConfigs(this.layouts, this.settings)
  }

  /** Founds the cluster over empty data folders. No node may run. */
  async found(): Promise<void> {
    await foundCluster(this.layouts)
  }

  /** Starts all nodes that do not run and waits until each serves. */
  async start(signal?: AbortSignal): Promise<void> {
    const down = this.nodes.filter(node => !node.running)
    await Promise.all(down.map(node => node.start()))
    await this.ready(signal)
  }

  /** Resolves when every node serves. */
  async ready(signal?: AbortSignal): Promise<void> {
    await Promise.all(this.nodes.map(node => node.ready(signal)))
  }

  /** SIGTERM to all at once, SIGKILL after `graceMs`; resolves when all are gone. */
  async stop(graceMs: number = 10_000): Promise<void> {
    await Promise.all(this.nodes.map(node => node.stop(graceMs)))
  }

  /** SIGKILL to all at once. */
  async crash(): Promise<void> {
    for (const node of this.nodes) node.kill('SIGKILL')
    await Promise.all(this.nodes.map(node => node.crash()))
  }

  /** What the running nodes report. */
  async summary(): Promise<ClusterSummary> {
    return summarize(
      await Promise.all(
        this.nodes.map(async ({ node, url }) => ({
          node,
          url,
          status: await nodeStatus(url).catch(() => undefined),
        })),
      ),
    )
  }
}
