/** A node of the library, as the benchmark asks it. */
import { AskedProcess } from './asked-process.ts'
import type { NodeSetup, Order, StatusReport } from './messages.ts'

type Result<T extends Order['type']> = T extends 'status' ? StatusReport : T extends 'digest' ? number : undefined

export class GroupNode {
  readonly #process: AskedProcess

  private constructor(process: AskedProcess) {
    this.#process = process
  }

  /** Resolves when it takes part. */
  static async start(setup: NodeSetup): Promise<GroupNode> {
    return new GroupNode(await AskedProcess.start('group-process.ts', setup, `node ${setup.nodeId}`))
  }

  get pid(): number {
    return this.#process.pid
  }

  async ask<T extends Order['type']>(order: Extract<Order, { readonly type: T }>): Promise<Result<T>> {
    return (await this.#process.ask(order)) as Result<T>
  }

  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void> {
    return this.#process.kill()
  }
}
