/**
 * How many bytes of entries this node holds that peers have sent and that are not durable yet: per group, so that one
 * whose log is slow holds a bounded part, and over all groups, so that many such groups cannot fill the memory.
 *
 * What is over the credit is not queued: its sender is told that the group is busy, and goes on with the others.
 */

export interface InboundLimits {
  /** Of one group. Default 32 MiB: twice what a leader has in flight. */
  readonly groupBytesMax?: number
  /** Of all groups. Default 256 MiB. */
  readonly nodeBytesMax?: number
}

const GROUP_BYTES_MAX = 32 * 1024 * 1024
const NODE_BYTES_MAX = 256 * 1024 * 1024

export class InboundCredit {
  readonly #groupBytesMax: number
  readonly #nodeBytesMax: number
  #bytes = 0

  constructor({ groupBytesMax = GROUP_BYTES_MAX, nodeBytesMax = NODE_BYTES_MAX }: InboundLimits = {}) {
    this.#groupBytesMax = groupBytesMax
    this.#nodeBytesMax = nodeBytesMax
  }

  /** Bytes held for all groups. */
  get bytes(): number {
    return this.#bytes
  }

  ofGroup(): GroupCredit {
    return new GroupCredit(this.#groupBytesMax, {
      take: bytes => this.#take(bytes),
      add: bytes => {
        this.#bytes += bytes
      },
    })
  }

  #take(bytes: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#nodeBytesMax) return false
    this.#bytes += bytes
    return true
  }
}

interface NodeCredit {
  take(bytes: number): boolean
  /** Without asking; below 0 to give back. */
  add(bytes: number): void
}

/** The part of one group. */
export class GroupCredit {
  readonly #bytesMax: number
  readonly #node: NodeCredit
  #bytes = 0
  #closed = false

  constructor(bytesMax: number, node: NodeCredit) {
    this.#bytesMax = bytesMax
    this.#node = node
  }

  /** Takes what has arrived, if there is room; a group or node that holds nothing takes anything. */
  take(bytes: number): boolean {
    if (bytes === 0 || this.#closed) return true
    const full = this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax
    if (full || !this.#node.take(bytes)) return false
    this.#bytes += bytes
    return true
  }

  /** Counts without asking: entries whose message was taken are being written. */
  hold(bytes: number): void {
    this.giveBack(-bytes)
  }

  giveBack(bytes: number): void {
    if (this.#closed) return
    this.#bytes -= bytes
    this.#node.add(-bytes)
  }

  /** Gives back everything: the group takes no further part, and nobody may hear of its writes any more. */
  close(): void {
    this.giveBack(this.#bytes)
    this.#closed = true
  }
}
