/**
 * The two HTTP ports of a node. Bound before anything is read from disk, so that a port in use costs nothing; until the
 * node serves they say that it is starting.
 */
import type { Logger } from 'pino'
import { adminPortHandler, listenAdmin } from '../admin/admin-port.ts'
import type { BrokerCounters, Metrics } from '../admin/metrics.ts'
import type { BrokerContext } from '../broker-context.ts'
import { type Address, isLoopbackHost, parseAddress } from '../config/address.ts'
import type { NodeConfig } from '../config/node-config.ts'
import type { OriginRules } from '../http/origin-guard.ts'
import { type Listener, listenClients } from '../server/client-listener.ts'
import { clientPortHandler } from '../server/client-port.ts'
import { SwappableHandler } from '../server/starting.ts'
import { StartError } from '../start-error.ts'

export interface PortOptions {
  readonly config: Pick<NodeConfig, 'listen' | 'http' | 'limits' | 'cluster' | 'node'>
  /** Without: no admin port. */
  readonly admin: boolean
  readonly counters: BrokerCounters
  readonly log: Logger
}

export interface NodePorts {
  readonly client: Address
  readonly admin: Address | undefined
  /** What the node waits for, until it serves. */
  readonly notReady: (reason: string) => void
  /** From now on requests are answered by this node. */
  serve(context: BrokerContext, metrics: Metrics): void
  close(graceMs: number): Promise<void>
}

/** @throws StartError PORT_IN_USE, ADDRESS_UNAVAILABLE; nothing stays bound then */
export async function openPorts(options: PortOptions): Promise<NodePorts> {
  const { config, counters, log } = options
  const { listen, limits } = config
  const clientHandler = new SwappableHandler()
  const client = await listenClients({
    name: 'client',
    address: addressOf('client', listen.client),
    connectionsMax: limits.connectionsMax,
    streamsPerConnectionMax: limits.streamsPerConnectionMax,
    log,
    handle: clientHandler.handle,
    connections: open => {
      counters.connections = open
    },
  })
  const adminHandler = new SwappableHandler()
  const admin = options.admin ? await openAdmin(addressOf('admin', listen.admin), adminHandler, client) : undefined
  return {
    client: client.address,
    admin: admin?.address,
    notReady: reason => {
      clientHandler.notReady(reason)
      adminHandler.notReady(reason)
    },
    serve: (context, metrics) => {
      clientHandler.serve(clientPortHandler(context, originRules(config, client.address)))
      if (admin !== undefined)
        adminHandler.serve(adminPortHandler(context, metrics, originRules(config, admin.address)))
    },
    close: async graceMs => {
      await Promise.all([client.close(graceMs), admin?.close(graceMs)])
    },
  }
}

async function openAdmin(address: Address, handler: SwappableHandler, client: Listener): Promise<Listener> {
  try {
    return await listenAdmin(address, handler.handle)
  } catch (error) {
    await client.close(0)
    throw error
  }
}

function originRules({ http, cluster, node }: PortOptions['config'], bound: Address): OriginRules {
  const own = cluster.nodes.find(entry => entry.node === node)?.clientUrl
  const advertised = own === undefined ? [] : [new URL(own).hostname]
  return {
    loopback: isLoopbackHost(bound.host),
    knownHosts: [...advertised, ...http.allowedHosts],
    allowedOrigins: http.allowedOrigins,
  }
}

/** @throws StartError CONFIG_INVALID */
export function addressOf(name: string, text: string): Address {
  const address = parseAddress(text)
  if (address === undefined) throw new StartError('CONFIG_INVALID', `listen.${name}: ${text} is not host:port`)
  return address
}
