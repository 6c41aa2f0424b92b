/**
 * Three Kafka nodes, each broker and controller (KRaft), with the flags of Kafka's own start script. Topics are made with
 * `flush.messages=1`, and producers wait for all replicas in sync, two at least: clients/kafka.ts. Or as they come.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { freePorts } from '@millrace/testkit'
import { JAVA_WAYS } from '../clients/java-program.ts'
import { type Cluster, NODES, type NotRun, type PeerSettings } from '../cluster.ts'
import { installedVersion } from '../peer-module.ts'
import { onPath, ServerProcess } from '../server-process.ts'

const HEAP = ['-Xms1g', '-Xmx1g']
const JVM = [
  ...['-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20', '-XX:InitiatingHeapOccupancyPercent=35'],
  ...['-XX:+ExplicitGCInvokesConcurrent', '-Djava.awt.headless=true'],
]

export async function startKafkaCluster(
  folder: string,
  { home, scripts, durability }: PeerSettings,
): Promise<Cluster | NotRun> {
  const [jars, modules] = [join(home, 'kafka', 'lib'), join(home, 'kafka', 'js')]
  const missing = [jars, join(modules, 'node_modules', 'kafkajs')].find(path => !existsSync(path))
  if (missing !== undefined)
    return { notRun: `${missing} is not there; install it with ${join(scripts, 'kafka', 'setup.sh')}` }
  if (!onPath('java')) return { notRun: 'no java on PATH; Kafka needs 17 or newer' }
  const ports = await freePorts(2 * NODES)
  const [brokerPorts, controllerPorts] = [ports.slice(0, NODES), ports.slice(NODES)]
  const configs = brokerPorts.map((_, at) => {
    const file = join(folder, `${at + 1}.properties`)
    writeFileSync(file, propertiesOf(at + 1, folder, brokerPorts, controllerPorts))
    return file
  })
  const clusterId = randomBytes(16).toString('base64url')
  // In one argument: an id may begin with a dash.
  const format = ['kafka.tools.StorageTool', 'format', `--cluster-id=${clusterId}`, '-c']
  const tool = ['-Xmx256m', '-cp', join(jars, '*'), ...format]
  for (const config of configs) execFileSync('java', [...tool, config], { stdio: ['ignore', 'ignore', 'pipe'] })
  const hasJdk = onPath('javac')
  const javaCommand = hasJdk ? compileJavaClient(folder, jars) : undefined
  const kafka = readdirSync(jars).find(name => name.startsWith('kafka-clients-')) ?? 'kafka-clients-?'
  const clients = ['@platformatic/kafka', 'kafkajs'].map(name => `${name} ${installedVersion(modules, name)}`)
  const servers: ServerProcess[] = []
  const start = async (node: number): Promise<void> => {
    const command = ['java', ...HEAP, ...JVM, '-cp', join(jars, '*'), 'kafka.Kafka', configs[node - 1]!]
    servers[node - 1] = await ServerProcess.start(`Kafka node ${node}`, command, join(folder, `${node}.log`))
  }
  try {
    for (let node = 1; node <= NODES; node++) await start(node)
  } catch (error) {
    await Promise.all(servers.map(server => server.kill()))
    throw error
  }
  return {
    version: [`Kafka ${kafka.replace(/^kafka-clients-|\.jar$/g, '')}`, ...clients].join(', '),
    client: {
      system: 'kafka',
      brokers: brokerPorts.map(port => `127.0.0.1:${port}`),
      modules,
      flushes: durability === 'same',
      javaCommand,
    },
    waysNotRun: hasJdk
      ? {}
      : Object.fromEntries(JAVA_WAYS.map(way => [way, 'no javac on PATH; the Java client needs a JDK, 17 or newer'])),
    servers,
    pids: () => servers.map(server => server.pid),
    kill: node => servers[node - 1]!.kill(),
    restart: start,
    [Symbol.asyncDispose]: async () => void (await Promise.all(servers.map(server => server.stop()))),
  }
}

/** @returns the command that starts it, without its arguments */
function compileJavaClient(folder: string, jars: string): readonly string[] {
  const classes = join(folder, 'classes')
  const source = join(import.meta.dirname, '../clients/JavaClient.java')
  execFileSync('javac', ['-cp', join(jars, '*'), '-d', classes, source], { stdio: ['ignore', 'ignore', 'pipe'] })
  return ['java', '-Xmx512m', ...JVM, '-cp', [classes, join(jars, '*')].join(delimiter), 'JavaClient']
}

function propertiesOf(
  node: number,
  folder: string,
  brokerPorts: readonly number[],
  controllerPorts: readonly number[],
): string {
  const [broker, controller] = [brokerPorts[node - 1], controllerPorts[node - 1]]
  return [
    'process.roles=broker,controller',
    `node.id=${node}`,
    `controller.quorum.voters=${controllerPorts.map((port, at) => `${at + 1}@127.0.0.1:${port}`).join(',')}`,
    'controller.listener.names=CONTROLLER',
    `listeners=PLAINTEXT://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${broker}`,
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    `log.dirs=${join(folder, `log${node}`)}`,
    'auto.create.topics.enable=false',
    'group.initial.rebalance.delay.ms=0',
    '',
  ].join('\n')
}
