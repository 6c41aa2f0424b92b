/**
 * `millrace dev`: a cluster of real node processes on loopback, for the time of one terminal. Owns the order of events:
 * folder, ports, founding, start, topic, supervision, stop. Whatever happens on the way, no node is left running.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CliError } from '../cli-error.ts'
import { LocalCluster } from '../cluster/local-cluster.ts'
import { NODES_MAX, type NodePorts, portsFrom } from '../cluster/node-layout.ts'
import { createTopic } from '../cluster/topic-api.ts'
import { commandName } from '../command-name.ts'
import { EXIT } from '../exit-code.ts'
import { takenPorts } from '../process/ports.ts'
import { stopSignal } from '../process/stop-signal.ts'
import { waitFor } from '../process/wait-for.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { printBanner } from './banner.ts'
import { type DevFolder, openDevFolder } from './dev-folder.ts'
import { followCluster } from './live-line.ts'
import { supervise } from './supervisor.ts'

export interface DevOptions {
  readonly dir: string
  readonly port: number
  readonly nodes: number
  /** Given on the command line: an existing cluster of another size is then an error. */
  readonly nodesAsked: boolean
  readonly fresh: boolean
}

/** From Ctrl-C to SIGKILL; with the exit of killed processes it stays below five seconds. */
const STOP_GRACE_MS = 4000
/** All nodes stop at once here: there is nobody to hand leaderships to, and no reason to wait long. */
const SETTINGS = { shutdownMs: '3s' } as const
const DEMO_TOPIC = { name: 'demo', partitions: 3 } as const
/** Nodes of a killed `dev` need a moment until they notice. */
const LEFT_OVER_MS = 6000

/** Runs until Ctrl-C or SIGTERM. */
export async function runDev(terminal: Terminal, options: DevOptions): Promise<void> {
  const folder = await openDevFolder(options.dir, options)
  try {
    const nodes = sizeOf(folder, options)
    const ports = portsFrom(options.port, nodes)
    await checkPorts(ports, options, folder.marker?.running === true)
    await runCluster(terminal, folder, ports, options.dir)
  } finally {
    await folder.release()
  }
}

function sizeOf({ marker }: DevFolder, { nodes, nodesAsked, dir }: DevOptions): number {
  if (marker === undefined) return nodes
  if (nodesAsked && marker.nodes !== nodes) {
    const way = `--fresh starts over with ${nodes}, or choose another folder with --dir`
    throw new CliError(`${dir} holds a cluster of ${marker.nodes} nodes; ${way}`, EXIT.usage)
  }
  return Math.min(marker.nodes, NODES_MAX)
}

async function checkPorts(nodes: readonly NodePorts[], { port }: DevOptions, leftOver: boolean): Promise<void> {
  const wanted = nodes.flatMap(({ client, peer, admin }) => [client, peer, admin])
  const deadline = performance.now() + (leftOver ? LEFT_OVER_MS : 0)
  let taken = await takenPorts(wanted)
  while (taken.length > 0 && performance.now() < deadline) {
    await sleep(100)
    taken = await takenPorts(wanted)
  }
  if (taken.length === 0) return
  const list = taken.toSorted((a, b) => a - b).join(', ')
  const which = taken.length === 1 ? `port ${list} is in use` : `ports ${list} are in use`
  throw new CliError(`${which}; try --port ${port + 100}`, EXIT.inUse)
}

async function runCluster(
  terminal: Terminal,
  folder: DevFolder,
  ports: readonly NodePorts[],
  dir: string,
): Promise<void> {
  const cluster = new LocalCluster({ folder: folder.path, ports, settings: SETTINGS })
  using stop = stopSignal(() => void cluster.crash())
  const founded = folder.marker === undefined
  const state = { nodes: ports.length, founded: true }
  let isFounded = !founded
  try {
    cluster.configure()
    if (founded) await cluster.found()
    folder.writeMarker({ ...state, running: true })
    isFounded = true
    await cluster.start(stop.signal)
    await ensureDemoTopic(cluster, stop.signal)
    printBanner(terminal, {
      layouts: cluster.layouts,
      folder: dir,
      topic: DEMO_TOPIC.name,
      command: commandName(),
      founded,
    })
    const report = (line: string): void => terminal.note(`millrace: ${line}`)
    await Promise.all([
      supervise(cluster.nodes, { signal: stop.signal, report }),
      followCluster(terminal, () => cluster.summary(), stop.signal),
    ])
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    if (stop.signal.aborted && terminal.interactive) terminal.note('stopping …')
    await cluster.stop(STOP_GRACE_MS)
    if (isFounded) folder.writeMarker({ ...state, running: false })
  }
}

async function ensureDemoTopic(cluster: LocalCluster, signal: AbortSignal): Promise<void> {
  const made = { what: `topic ${DEMO_TOPIC.name}`, timeoutMs: 30_000, signal }
  await waitFor(() => createTopic(cluster.urls, { ...DEMO_TOPIC, ifNotExists: true }), made)
  const led = { what: `leaders of ${DEMO_TOPIC.name}`, timeoutMs: 30_000, signal }
  await waitFor(async () => (await cluster.summary()).partitions.every(({ leader }) => leader !== 0), led)
}
