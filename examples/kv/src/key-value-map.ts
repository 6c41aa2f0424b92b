/** The state that every node holds: changed only by commands from the log, so it is the same everywhere. */
import { replayedMachine, type StateMachine } from '@millrace/raft-node'

export class KeyValueMap {
  readonly machine: StateMachine = replayedMachine(command => this.#run(command))
  readonly #values = new Map<string, Uint8Array>()

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key)
  }

  #run(command: Uint8Array): boolean {
    const { key, value } = JSON.parse(Buffer.from(command).toString()) as { key: string; value?: string }
    if (value === undefined) return this.#values.delete(key)
    this.#values.set(key, Buffer.from(value, 'base64'))
    return true
  }
}

/** The command that sets a key, or removes it where there is no value. */
export function keyValueCommand(key: string, value?: Uint8Array): Uint8Array {
  return Buffer.from(JSON.stringify({ key, value: value && Buffer.from(value).toString('base64') }))
}
