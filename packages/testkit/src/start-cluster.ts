/**
 * A cluster of real node processes for a test, on free ports and a folder of its own. Nodes can be killed, stopped and
 * started again. Only processes that were started here are ever signalled, and none outlives the test's process.
 */
import { type ExtraSettings, freePorts, LocalCluster, type NodeProcess, waitFor } from '@millrace/cli'
import { temporaryFolder } from './temporary-folder.ts'

export interface ClusterOptions {
  /** Default: 3. */
  readonly nodes?: number
  /** Kept afterwards. Default: a temporary folder that is removed when the cluster is disposed of. */
  readonly dir?: string
  /** Settings for all nodes, by dotted name: `{ 'storage.segmentBytesMax': '1MiB' }`. */
  readonly settings?: ExtraSettings
  /** That of another build of `@millrace/cli`, whose program the nodes run. Default: the same as runs here. */
  readonly processes?: typeof LocalCluster
}

export interface TestCluster extends AsyncDisposable {
  /** Node n is at index n - 1. */
  readonly nodes: readonly NodeProcess[]
  /** Client URLs, in the order of the nodes. */
  readonly urls: readonly string[]
  readonly folder: string
  readonly processes: LocalCluster
  /** Which node leads each partition of a topic; waits until all have a leader. */
  leaders(topic: string): Promise<number[]>
  /** Waits until the partitions of a topic are led by different nodes, and says by which. */
  spreadLeaders(topic: string): Promise<number[]>
}

/** Founds a cluster over empty folders, starts it and waits until every node serves. */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const count = options.nodes ?? 3
  const temporary = options.dir === undefined ? temporaryFolder('cluster') : undefined
  const folder = options.dir ?? temporary?.path ?? ''
  const free = await freePorts(count * 3)
  const ports = Array.from({ length: count }, (_, at) => ({
    client: free[at]!,
    peer: free[count + at]!,
    admin: free[2 * count + at]!,
  }))
  const processes = new (options.processes ?? LocalCluster)({ folder, ports, settings: options.settings ?? {} })
  try {
    processes.configure()
    await processes.found()
    await processes.start()
  } catch (error) {
    await processes.crash()
    throw error
  }
  return {
    nodes: processes.nodes,
    urls: processes.urls,
    folder,
    processes,
    leaders: topic => findLeaders(processes, topic, false),
    spreadLeaders: topic => findLeaders(processes, topic, true),
    async [Symbol.asyncDispose]() {
      await processes.crash()
      temporary?.[Symbol.dispose]()
    },
  }
}

function findLeaders(cluster: LocalCluster, topic: string, spread: boolean): Promise<number[]> {
  const find = async (): Promise<number[] | false> => {
    const { partitions } = await cluster.summary()
    const leaders = partitions.filter(partition => partition.topic === topic).map(partition => partition.leader)
    const wanted = spread ? Math.min(leaders.length, cluster.nodes.length) : 1
    return leaders.length > 0 && !leaders.includes(0) && new Set(leaders).size >= wanted && leaders
  }
  return waitFor(find, { what: `leaders of ${topic}${spread ? ' to spread' : ''}`, timeoutMs: 60_000 })
}
