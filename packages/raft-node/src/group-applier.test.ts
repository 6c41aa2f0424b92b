import type { ApplyTask, Entry } from '@millrace/raft-core'
import { type Frame, FrameKind, sealFrame } from '@millrace/record'
import { expect, test } from 'vitest'
import { encodeGroupConfiguration } from './configuration-codec.ts'
import { type EntryPayload, entryOfFrame, plainBody } from './entry-frame.ts'
import { GroupApplier } from './group-applier.ts'
import type { AppliedPosition, StateMachine } from './state-machine.ts'
import { configurationOf } from './testing/test-cluster.ts'

function entry(index: number, isConfiguration: boolean): Entry<Frame> {
  const payload = isConfiguration ? encodeGroupConfiguration(configurationOf([index])) : new Uint8Array([index])
  const body = plainBody(isConfiguration ? FrameKind.configuration : FrameKind.command, payload)
  const at = { group: 1, index, term: 1, baseOffset: 0, timestamp: 1, previousChain: 0 }
  return entryOfFrame(sealFrame(body, at))
}

function task(from: number, to: number, configurations: readonly number[] = []): ApplyTask<EntryPayload> {
  const entries = Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, configurations.includes(from + i)))
  return { entries, responses: [] }
}

class Bench {
  readonly applied: number[] = []
  readonly configured: number[] = []
  checkpoint: () => Promise<AppliedPosition> = async () => ({ index: 0, term: 0 })
  readonly applier: GroupApplier

  constructor() {
    const machine: StateMachine = {
      applied: { index: 0, term: 0 },
      apply: frames => {
        for (const { header } of frames) this.applied.push(header.index)
        return undefined
      },
      leadership: () => undefined,
      checkpoint: () => this.checkpoint(),
      close: async () => undefined,
    }
    this.applier = new GroupApplier(machine, 1)
  }

  next(): boolean {
    const configured = ({ header }: Frame): void => void this.configured.push(header.index)
    return this.applier.next(() => undefined, configured) !== undefined
  }
}

test('nothing is applied while a snapshot replaces the state, and afterwards nothing that it holds', async () => {
  const b = new Bench()
  b.applier.add(task(2, 4))
  b.applier.add(task(5, 6))
  b.next()
  let restored: (position: AppliedPosition) => void = () => undefined
  const replaced = b.applier.replace(
    () =>
      new Promise(resolve => {
        restored = resolve
      }),
    async () => undefined,
  )
  expect([b.applier.hasWork, b.applier.checkpointDue, b.next(), b.applied]).toEqual([false, false, false, [2, 3, 4]])
  await new Promise(resolve => setImmediate(resolve))
  restored({ index: 20, term: 1 })
  await replaced
  expect([b.applier.applied, b.applier.checkpointed]).toEqual([20, 20])
  b.applier.add(task(21, 22))
  expect([b.next(), b.next(), b.next()]).toEqual([true, true, false])
  expect(b.applied).toEqual([2, 3, 4, 21, 22])
})

test('a state that is ahead of its snapshot is not given what comes in between, but its configurations are heard', async () => {
  const b = new Bench()
  await b.applier.replace(
    async () => ({ index: 8, term: 1 }),
    async () => undefined,
  )
  b.applier.add(task(6, 7, [7]))
  b.applier.add(task(8, 10, [8, 9]))
  b.next()
  b.next()
  expect([b.applied, b.configured, b.applier.applied]).toEqual([[9, 10], [7, 8, 9], 10])
})

test('a checkpoint that is being written is waited for', async () => {
  const b = new Bench()
  let written: (position: AppliedPosition) => void = () => undefined
  b.checkpoint = () =>
    new Promise(resolve => {
      written = resolve
    })
  const checkpoint = b.applier.checkpoint()
  let began = false
  const replaced = b.applier.replace(
    async () => {
      began = true
      return { index: 5, term: 1 }
    },
    async () => undefined,
  )
  await new Promise(resolve => setImmediate(resolve))
  expect(began).toBe(false)
  written({ index: 3, term: 1 })
  await Promise.all([checkpoint, replaced])
  expect([began, b.applier.checkpointed]).toEqual([true, 5])
})
