/** The state that every node holds: changed only by commands from the log, so it is the same everywhere. */
import { replayedMachine, type StateMachine } from '@millrace/raft-node'

/** `ifVersion`: only where the key has it. `value`: absent, and the key is removed; else base64. */
export type Command = Readonly<{ key: string; value?: string | undefined; ifVersion?: string | undefined }>
type Versioned = Readonly<{ value: Uint8Array; version: string }>

export class KeyValueMap {
  readonly machine: StateMachine = replayedMachine(bytes => this.#run(JSON.parse(Buffer.from(bytes).toString())))
  readonly #values = new Map<string, Versioned>()
  #commands = 0

  get(key: string): Versioned | undefined {
    return this.#values.get(key)
  }

  /** Whether the key had the version that was asked for. */
  #run({ key, value, ifVersion }: Command): boolean {
    this.#commands += 1
    if (ifVersion !== undefined && this.#values.get(key)?.version !== ifVersion) return false
    if (value === undefined) this.#values.delete(key)
    else this.#values.set(key, { value: Buffer.from(value, 'base64'), version: `"${this.#commands}"` })
    return true
  }
}
