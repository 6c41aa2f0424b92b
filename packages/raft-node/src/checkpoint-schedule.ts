/** When state machines write checkpoints: one group after the other, now and then, and once more at shutdown. */
import type { GroupReplica } from './group-replica.ts'
import type { Clock, NodeEvent } from './node.ts'

export interface CheckpointScheduleOptions {
  readonly clock: Clock
  readonly intervalMs: number
  readonly replicas: () => Iterable<GroupReplica>
  readonly report: (event: NodeEvent) => void
}

export class CheckpointSchedule {
  readonly #options: CheckpointScheduleOptions
  #timer: { cancel(): void } | undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(options: CheckpointScheduleOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.setTimer(this.#options.intervalMs, () => {
      this.#running = this.#round()
      void this.#running.then(() => this.start())
    })
  }

  /** Resolves when no checkpoint is being written any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#running
  }

  async #round(): Promise<void> {
    for (const replica of [...this.#options.replicas()]) {
      if (this.#stopped) return
      await checkpoint(replica, this.#options.report)
    }
  }
}

/** A checkpoint that fails is reported and tried again later: the log holds everything that it would. */
export async function checkpoint(replica: GroupReplica, report: (event: NodeEvent) => void): Promise<void> {
  if (replica.halted !== undefined || !replica.applier.checkpointDue) return
  try {
    await replica.applier.checkpoint()
  } catch (error) {
    report({ level: 'warn', group: replica.group, message: `checkpoint failed: ${String(error)}` })
  }
}
