/** A log store in a folder of the benchmark, and logs in it that frames sealed in advance are appended to. */
import { type GroupLog, type LogStore, openSegmentedLogStore, type SegmentedLogStoreOptions } from '@millrace/log-store'
import { type Frame, FrameCodec, FrameKind, NO_PRODUCER, nextOffsetAfter, sealFrame } from '@millrace/record'

export function openStore(dir: string, options: Partial<SegmentedLogStoreOptions> = {}): Promise<LogStore> {
  return openSegmentedLogStore({
    dir,
    onFatal: error => {
      throw error
    },
    ...options,
  })
}

export function createLog(store: LogStore, group: number): Promise<GroupLog> {
  const position = { index: 1, term: 1, chain: group, timestamp: 1, nextOffset: 0 }
  const configuration = new Uint8Array(64)
  return store.create(group, {
    replicaId: 1,
    base: { ...position, configuration, configurationIndex: 1, voidBelow: 0 },
  })
}

/** Seals frames for the end of a log, as its leader would: not a part of what the store does. */
export function sealFrames(log: GroupLog, count: number, payload: Uint8Array): Frame[] {
  const frames: Frame[] = []
  let { index, term, chain, timestamp, nextOffset } = log.end
  const body = {
    kind: FrameKind.records,
    codec: FrameCodec.none,
    recordCount: 1,
    producerId: NO_PRODUCER,
    producerEpoch: 0,
    sequence: 0,
    payload,
  }
  for (let made = 0; made < count; made++) {
    index++
    const at = { group: log.group, index, term, baseOffset: nextOffset, timestamp, previousChain: chain }
    const frame = sealFrame(body, at)
    chain = frame.header.chain
    nextOffset = nextOffsetAfter(frame.header)
    frames.push(frame)
  }
  return frames
}

/** One write; resolves when it is durable. */
export function append(log: GroupLog, frames: readonly Frame[]): Promise<void> {
  return new Promise(resolve => log.write({ frames, commit: log.base.index }, resolve))
}

/** Appends frames one by one, with at most `window` writes in flight. */
export function appendEach(log: GroupLog, frames: readonly Frame[], window: number): Promise<void> {
  return new Promise(resolve => {
    let sent = 0
    let durable = 0
    const send = (): void => {
      const frame = frames[sent++] as Frame
      log.write({ frames: [frame], commit: log.base.index }, () => {
        durable++
        if (durable === frames.length) resolve()
        else if (sent < frames.length) send()
      })
    }
    while (sent < Math.min(window, frames.length)) send()
  })
}
