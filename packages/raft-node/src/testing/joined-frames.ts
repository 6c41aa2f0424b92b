/** Frames for tests of what carries and checks them. */
import { type Frame, FrameKind, sealFrame } from '@millrace/record'
import { plainBody } from '../entry-frame.ts'

/** `count` frames from `first` on, joined by their chains. */
export function joinedFrames(group: number, first: number, count: number, payloadBytes = 10): Frame[] {
  const frames: Frame[] = []
  let chain = 7
  for (let i = 0; i < count; i++) {
    const body = plainBody(FrameKind.command, new Uint8Array(payloadBytes).fill(i))
    const at = { group, index: first + i, term: 3, baseOffset: 0, timestamp: 1_000, previousChain: chain }
    const frame = sealFrame(body, at)
    chain = frame.header.chain
    frames.push(frame)
  }
  return frames
}
