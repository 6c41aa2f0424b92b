/** Listeners without encryption stay on loopback unless the operator says otherwise by name. */
import { StartError } from '../start-error.ts'
import { isLoopbackHost, parseAddress } from './address.ts'
import type { NodeConfig } from './node-config.ts'

/**
 * Checks the three listeners.
 *
 * @returns one warning per listener that is open to the network, to be logged at every start
 * @throws StartError PLAINTEXT_REFUSED naming the setting
 */
export function checkPlaintext(listen: NodeConfig['listen']): readonly string[] {
  const warnings: string[] = []
  for (const name of ['client', 'peer', 'admin'] as const) {
    const address = parseAddress(listen[name])
    if (address === undefined || isLoopbackHost(address.host)) continue
    if (!listen.plaintext) {
      throw new StartError(
        'PLAINTEXT_REFUSED',
        `listen.${name} ${listen[name]} is not a loopback address, and nothing on it would be encrypted or ` +
          'authenticated: set listen.plaintext: true to allow that, or listen on 127.0.0.1',
      )
    }
    warnings.push(
      `listen.${name} ${listen[name]} is open to the network without encryption or authentication (listen.plaintext: true)`,
    )
  }
  return warnings
}
