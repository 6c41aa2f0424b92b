/**
 * A state machine whose state lives in memory only and is made anew at every start from the commands in the log. It
 * never writes a checkpoint, so the log must keep everything from its first entry on.
 */
import { FrameKind, framePayload } from '@millrace/record'
import type { AppliedPosition, StateMachine } from './state-machine.ts'

const NOTHING: AppliedPosition = { index: 0, term: 0 }

/**
 * Makes a state machine of a function.
 *
 * @param run applies one command, in log order, and returns its result; must give the same on every replica (no clock, no
 *   randomness) and must not throw: that would halt the replica. The bytes must not be changed.
 */
export function replayedMachine(run: (command: Uint8Array) => unknown): StateMachine {
  return {
    applied: NOTHING,
    apply: frames =>
      frames.map(frame => (frame.header.kind === FrameKind.command ? run(framePayload(frame)) : undefined)),
    leadership: () => undefined,
    checkpoint: () => Promise.resolve(NOTHING),
    close: () => Promise.resolve(),
  }
}
