/**
 * The Millrace SDK for Node: append, read, observe.
 *
 * @example
 * const client = connect(['http://127.0.0.1:7070'])
 * const orders = client.topic('orders', { value: json<Order>() })
 * await orders.append({ key: 'c-42', value: order })
 */
import { Client } from './client.ts'
import { type ClientOptions, resolveOptions, type Target, targetOf } from './client-options.ts'
import { nodeDial } from './cluster/node-dial.ts'

export * from './api.ts'

/**
 * A client of a cluster. Connects when first used.
 *
 * @param target URL or URLs of any nodes (more than one: any may be down), or a broker in this process
 * @throws INVALID_ARGUMENT naming the URL or option
 */
export function connect(target: Target, options: ClientOptions = {}): Client {
  const { urls, dial } = targetOf(target)
  const platform = { dial: dial ?? nodeDial, appends: 'stream', reads: 'frames' } as const
  return new Client(urls, resolveOptions(options), platform)
}
