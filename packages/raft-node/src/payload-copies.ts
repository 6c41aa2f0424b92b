/**
 * How often the bytes of frames are copied on their way through a node, by place. For benchmarks and tests: nothing is
 * counted until `on` is set. What the kernel copies, and the disk, is not in it.
 */

export interface PayloadCopies {
  on: boolean
  /** Leader: payloads into frames. Bytes, as all that follows. */
  sealed: number
  /** Leader: frames into the message to one follower; each follower counts. */
  sent: number
  /** Follower: what grpc-js puts together from the pieces that the socket delivers. */
  received: number
  /** Follower: frames out of a message that they must not keep alive. */
  owned: number
}

/** Of this process. */
export const payloadCopies: PayloadCopies = { on: false, sealed: 0, sent: 0, received: 0, owned: 0 }

export function countCopy(place: Exclude<keyof PayloadCopies, 'on'>, bytes: number): void {
  if (payloadCopies.on) payloadCopies[place] += bytes
}
