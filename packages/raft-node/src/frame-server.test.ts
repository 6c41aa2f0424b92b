import type { GroupLog } from '@millrace/log-store'
import { MemoryLogStore } from '@millrace/log-store/memory'
import { type Frame, FrameKind, sealFrame } from '@millrace/record'
import { expect, test } from 'vitest'
import { birthRecord } from './birth-record.ts'
import { plainBody } from './entry-frame.ts'
import type { FrameAnswer, FrameRequest } from './frame-calls.ts'
import { type FrameHolder, FrameServer } from './frame-server.ts'
import { ReplicaPlaces } from './replica-places.ts'
import { configurationOf } from './testing/test-cluster.ts'

const GROUP = 7

interface Served {
  readonly store: MemoryLogStore
  readonly frames: readonly Frame[]
  readonly holder: FrameHolder & { readonly looks: number }
  ask(over?: Partial<FrameRequest>, fromNode?: number): Promise<FrameAnswer>
}

/** Replica 12 with the entries 2 to 21, of which those up to 11 are committed; replica 11 on node 1 asks for 5 to 9. */
async function served(over: Partial<FrameHolder> = {}): Promise<Served> {
  const configuration = configurationOf([1, 2, 3])
  const base = birthRecord({ clusterId: 't', group: GROUP, createIndex: 1, createTimestamp: 1, configuration })
  const store = new MemoryLogStore()
  const storedLog = await store.create(GROUP, { replicaId: 12, base })
  const frames: Frame[] = []
  for (let index = 2; index <= 21; index++) {
    const previousChain = frames.at(-1)?.header.chain ?? base.chain
    const at = { group: GROUP, index, term: 2, baseOffset: 0, timestamp: base.timestamp, previousChain }
    frames.push(sealFrame(plainBody(FrameKind.noop, new Uint8Array(0)), at))
  }
  await new Promise<void>(done => storedLog.write({ frames, commit: 11 }, done))
  const places = new ReplicaPlaces()
  places.learn(configuration)
  let looks = 0
  const holder = {
    ...{ replica: 12, halted: undefined, places, storedLog, status: () => ({ commit: 11 }) },
    repair: {
      look: () => {
        looks += 1
      },
    },
    get looks() {
      return looks
    },
    ...over,
  }
  const server = new FrameServer({ framesServed: 0 })
  const { term, chain } = frames[7]!.header
  const request = { group: GROUP, from: 11, to: 12, first: 5, last: { index: 9, term, chain }, bytesMax: 1 << 20 }
  return {
    ...{ store, frames, holder },
    ask: (other = {}, fromNode = 1) => server.answer(fromNode, { ...request, ...other }, holder),
  }
}

function lastAt(frames: readonly Frame[], index: number): FrameRequest['last'] {
  const { term, chain } = frames[index - 2]!.header
  return { index, term, chain }
}

test('gives what is committed, up to the entry that was asked for, in pieces of bounded length', async () => {
  const { ask, frames } = await served()
  expect(await ask()).toEqual({ status: 'frames', frames: frames.slice(3, 8) })
  expect(await ask({ bytesMax: 2 * frames[0]!.bytes.length })).toEqual({ status: 'frames', frames: frames.slice(3, 5) })
})

test('gives what is not committed only where it leads to the very entry that the asking log has', async () => {
  const { ask, frames } = await served()
  const last = lastAt(frames, 15)
  expect(await ask({ first: 12, last })).toEqual({ status: 'frames', frames: frames.slice(10, 14) })
  expect(await ask({ first: 12, last: { ...last, chain: last.chain ^ 1 } })).toEqual({ status: 'differs' })
  expect(await ask({ first: 12, last: { ...last, term: 3 } })).toEqual({ status: 'differs' })
})

test('has nothing of what its log does not hold, or does not hold any more', async () => {
  const { ask, frames, holder } = await served()
  expect(await ask({ last: { ...lastAt(frames, 21), index: 22 } })).toEqual({ status: 'absent' })
  expect(await ask({ first: 10 })).toEqual({ status: 'absent' })
  const { header } = frames[3]!
  await holder.storedLog.trimPrefix({ ...holder.storedLog.base, ...header, nextOffset: 0 })
  expect(await ask()).toEqual({ status: 'absent' })
})

test('says that it is damaged there too, and sees to that', async () => {
  const { ask, store, holder } = await served()
  store.damage(GROUP, 6, 6)
  expect(await ask({ first: 6 })).toEqual({ status: 'damaged' })
  expect(holder.looks).toBe(1)
  expect(await ask()).toMatchObject({ status: 'frames', frames: { length: 1 } })
})

test('answers replicas of the group on their own nodes only, and for itself', async () => {
  expect(await (await served()).ask({}, 3)).toEqual({ status: 'absent' })
  expect(await (await served()).ask({ to: 13 })).toEqual({ status: 'absent' })
  expect(await (await served({ halted: 'a defect' })).ask()).toEqual({ status: 'absent' })
  const traffic = { framesServed: 0 }
  const { frames } = await served()
  const request = { group: 8, from: 11, to: 12, first: 5, last: lastAt(frames, 9), bytesMax: 1 }
  expect(await new FrameServer(traffic).answer(1, request, undefined)).toEqual({ status: 'absent' })
})

test('reads for few at a time', async () => {
  const open: (() => void)[] = []
  const { ask, holder, frames } = await served()
  const read = holder.storedLog.read.bind(holder.storedLog)
  holder.storedLog.read = (...args: Parameters<GroupLog['read']>) =>
    new Promise<void>(resolve => open.push(resolve)).then(() => read(...args))
  const asked = Array.from({ length: 6 }, () => ask())
  expect(await asked[5]).toEqual({ status: 'busy' })
  expect(await asked[4]).toEqual({ status: 'busy' })
  for (const resolve of open) resolve()
  expect(await Promise.all(asked.slice(0, 4))).toEqual(
    Array.from({ length: 4 }, () => ({ status: 'frames', frames: frames.slice(3, 8) })),
  )
  const again = ask()
  open.at(-1)!()
  expect(await again).toMatchObject({ status: 'frames' })
})
