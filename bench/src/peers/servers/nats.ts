/** Three NATS servers with JetStream, which sync every write before they acknowledge it (`sync_interval: always`), or as they come. */
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '@millrace/testkit'
import { NATS_CLI_WAY } from '../clients/nats-cli.ts'
import { type Cluster, NODES, type NotRun, type PeerSettings } from '../cluster.ts'
import { installedVersion } from '../peer-module.ts'
import { ServerProcess } from '../server-process.ts'

export async function startNatsCluster(
  folder: string,
  { home, scripts, durability }: PeerSettings,
): Promise<Cluster | NotRun> {
  const modules = join(home, 'nats')
  const binary = join(modules, 'bin', 'nats-server')
  const js = join(modules, 'node_modules', '@nats-io', 'jetstream')
  const missing = [binary, js].find(path => !existsSync(path))
  if (missing !== undefined)
    return { notRun: `${missing} is not there; install it with ${join(scripts, 'nats', 'setup.sh')}` }
  const tool = join(modules, 'bin', 'nats')
  const hasTool = existsSync(tool)
  const ports = await freePorts(2 * NODES)
  const [clientPorts, routePorts] = [ports.slice(0, NODES), ports.slice(NODES)]
  const version = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim()
  const toolVersion = hasTool ? [`nats CLI ${execFileSync(tool, ['--version'], { encoding: 'utf8' }).trim()}`] : []
  const servers: ServerProcess[] = []
  const start = async (node: number): Promise<void> => {
    const config = join(folder, `n${node}.conf`)
    writeFileSync(config, configOf(node, folder, clientPorts, routePorts, durability === 'same'))
    const command = [binary, '-c', config]
    servers[node - 1] = await ServerProcess.start(`NATS server ${node}`, command, join(folder, `n${node}.log`))
  }
  try {
    for (let node = 1; node <= NODES; node++) await start(node)
  } catch (error) {
    await Promise.all(servers.map(server => server.kill()))
    throw error
  }
  return {
    version: [version, ...toolVersion, `@nats-io/jetstream ${installedVersion(modules, '@nats-io/jetstream')}`].join(
      ', ',
    ),
    client: {
      system: 'nats',
      urls: clientPorts.map(port => `127.0.0.1:${port}`),
      modules,
      cli: hasTool ? { binary: tool, csv: join(folder, 'tool.csv') } : undefined,
    },
    waysNotRun: hasTool
      ? {}
      : { [NATS_CLI_WAY]: `${tool} is not there; install it with ${join(scripts, 'nats', 'setup.sh')}` },
    servers,
    pids: () => servers.map(server => server.pid),
    kill: node => servers[node - 1]!.kill(),
    restart: start,
    [Symbol.asyncDispose]: async () => void (await Promise.all(servers.map(server => server.kill()))),
  }
}

function configOf(
  node: number,
  folder: string,
  clientPorts: readonly number[],
  routePorts: readonly number[],
  syncs: boolean,
): string {
  const routes = routePorts.map(port => `nats://127.0.0.1:${port}`).join(', ')
  return `
server_name: n${node}
listen: 127.0.0.1:${clientPorts[node - 1]}
jetstream { store_dir: ${JSON.stringify(join(folder, `n${node}`))}${syncs ? ', sync_interval: always' : ''} }
cluster { name: bench, listen: 127.0.0.1:${routePorts[node - 1]}, routes: [${routes}] }
`
}
