/** Writing to a replica's log without a node: one write at a time, each durable before the next. */
import type { GroupLog, LogError, LogWrite } from '@millrace/log-store'

/** A disk that fails for good while offline work is under way. */
export class FatalDisk {
  readonly #failed = Promise.withResolvers<never>()

  constructor() {
    // Whoever waits for a write hears it; where nobody does, the next one fails.
    this.#failed.promise.catch(() => undefined)
  }

  readonly onFatal = (error: LogError): void => this.#failed.reject(error)

  /** Durable when it resolves. @throws LogError where the disk failed */
  write(log: GroupLog, write: LogWrite): Promise<void> {
    const durable = new Promise<void>(resolve => log.write(write, resolve))
    return Promise.race([durable, this.#failed.promise])
  }
}
