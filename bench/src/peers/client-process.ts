/**
 * The client of one system as a process of its own, so that no system pays for the garbage and the threads of another's
 * client. Each runs with the same settings of V8, with which all of them are faster. Argument: its configuration as JSON.
 * Takes orders over IPC, one at a time, and ends with the channel.
 */
import { collectYoungBuffersFirst } from '@millrace/client/v8'
import type { BenchClient } from './client.ts'
import { bareClient } from './clients/bare.ts'
import { kafkaClient } from './clients/kafka.ts'
import { millraceClient } from './clients/millrace.ts'
import { natsClient } from './clients/nats.ts'
import type { ClientConfig, FromClient, Measured, ToClient } from './orders.ts'
import { type Window, Workloads } from './workloads.ts'

function clientOf(config: ClientConfig): Promise<BenchClient> {
  switch (config.system) {
    case 'millrace':
      return millraceClient(config)
    case 'bare':
      return bareClient(config)
    case 'nats':
      return natsClient(config)
    case 'kafka':
      return kafkaClient(config)
  }
}

function say(message: FromClient): void {
  process.send?.(message)
}

let killed = Promise.withResolvers<number>()
let proceed = Promise.withResolvers<void>()

/** Tells when what is measured begins and ends, and waits until whoever is told is ready. */
const window: Window = async (edge, leader) => {
  proceed = Promise.withResolvers<void>()
  say({ type: 'window', edge, leader })
  await proceed.promise
}

type AnyOrder = Exclude<ToClient, { type: 'killed' } | { type: 'proceed' }>

async function carryOut(workloads: Workloads, order: AnyOrder): Promise<Measured> {
  const onWindow = order.windowed ? window : undefined
  switch (order.type) {
    case 'append':
      return await workloads.append(order, order.metered, onWindow)
    case 'read':
      return await workloads.read(order, order.metered, onWindow)
    case 'pace':
      return await workloads.pace(order, order.metered)
    case 'failover':
      killed = Promise.withResolvers<number>()
      return await workloads.failover(order, node => say({ type: 'leading', node }), killed.promise)
    case 'verify':
      return await workloads.verify()
  }
}

function explained(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message} (${explained(error.cause)})`
}

collectYoungBuffersFirst()
process.on('disconnect', () => process.exit(0))
const client = await clientOf(JSON.parse(process.argv[2] ?? '') as ClientConfig)
const workloads = new Workloads(client)
process.on('message', (message: ToClient) => {
  if (message.type === 'proceed') return proceed.resolve()
  if (message.type === 'killed') return killed.resolve(message.atMs)
  carryOut(workloads, message).then(
    measured => say({ type: 'measured', measured }),
    error => say({ type: 'failed', message: explained(error) }),
  )
})
say({ type: 'ready' })
