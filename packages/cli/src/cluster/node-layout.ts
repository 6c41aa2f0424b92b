/** Where the nodes of a cluster on this machine live: ports, folders and the config file of each. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface NodePorts {
  readonly client: number
  readonly peer: number
  readonly admin: number
}

export interface NodeLayout {
  readonly node: number
  readonly ports: NodePorts
  readonly folder: string
  readonly dataDir: string
  readonly configFile: string
  readonly logFile: string
  readonly clientUrl: string
  readonly adminUrl: string
}

/** Nodes that `dev` can start: each range of ports has room for ten. */
export const NODES_MAX = 9

/** Ports of `dev` from a base: clients at base, base + 1 …, peers ten further on, admin twenty further on. */
export function portsFrom(base: number, nodes: number): NodePorts[] {
  return Array.from({ length: nodes }, (_, at) => ({ client: base + at, peer: base + 10 + at, admin: base + 20 + at }))
}

/** The layout of nodes 1, 2, … below `folder`; touches nothing. */
export function layOutNodes(folder: string, ports: readonly NodePorts[]): NodeLayout[] {
  return ports.map((nodePorts, at) => {
    const own = join(folder, `node-${at + 1}`)
    return {
      node: at + 1,
      ports: nodePorts,
      folder: own,
      dataDir: join(own, 'data'),
      configFile: join(own, 'millrace.json'),
      logFile: join(own, 'node.log'),
      clientUrl: `http://127.0.0.1:${nodePorts.client}`,
      adminUrl: `http://127.0.0.1:${nodePorts.admin}`,
    }
  })
}

/** Settings that all nodes get beside their addresses, by dotted name. */
export type ExtraSettings = Readonly<Record<string, unknown>>

/** Makes the folders and writes the config files. */
export function writeNodeConfigs(nodes: readonly NodeLayout[], settings: ExtraSettings = {}): void {
  const list = nodes.map(({ node, clientUrl, ports }) => ({ node, clientUrl, peerAddress: `127.0.0.1:${ports.peer}` }))
  for (const { node, folder, dataDir, ports, configFile } of nodes) {
    mkdirSync(folder, { recursive: true })
    const config: Record<string, unknown> = {
      node,
      dataDir,
      listen: {
        client: `127.0.0.1:${ports.client}`,
        peer: `127.0.0.1:${ports.peer}`,
        admin: `127.0.0.1:${ports.admin}`,
      },
      cluster: { nodes: list },
    }
    for (const [name, value] of Object.entries(settings)) setByName(config, name, value)
    writeFileSync(configFile, `${JSON.stringify(config, undefined, 2)}\n`)
  }
}

function setByName(tree: Record<string, unknown>, name: string, value: unknown): void {
  const [section = '', leaf] = name.split('.')
  if (leaf === undefined) tree[section] = value
  else tree[section] = { ...(tree[section] as object | undefined), [leaf]: value }
}
