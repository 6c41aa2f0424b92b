/** The catalogue's state as a snapshot: of the applied index, and the same wherever it is restored. */
import type { SnapshotInfo } from '@millrace/log-store'
import { MemorySnapshotStore } from '@millrace/log-store/memory'
import type { Frame } from '@millrace/record'
import { FrameKind } from '@millrace/record'
import { expect, test } from 'vitest'
import type { CatalogueCommand } from './catalogue-command.ts'
import { encodeCommand } from './catalogue-command.ts'
import { CatalogueMachine } from './catalogue-machine.ts'
import { MemoryStateStore } from './memory-state-store.ts'
import { FakeGroup } from './testing/fake-group.ts'
import { TOPIC_DEFAULTS } from './topic-config.ts'

const BASE = { index: 1 }

function machineOn(
  stateStore: MemoryStateStore,
  base = BASE,
  onApplied: () => void = () => undefined,
): CatalogueMachine {
  const snapshotStore = new MemorySnapshotStore()
  const onLeadership = (): void => undefined
  return new CatalogueMachine({ stateStore, stored: stateStore.load(0), base, snapshotStore, onApplied, onLeadership })
}

/** Nodes, then topics that come and go. */
function command(step: number): CatalogueCommand {
  if (step < 3) return { type: 'registerNode', node: step + 1, clientUrl: `http://${step}`, peerAddress: `${step}:1` }
  if (step % 3 === 2) return { type: 'deleteTopic', name: `topic-${step - 1}` }
  return { type: 'createTopic', name: `topic-${step}`, config: TOPIC_DEFAULTS, ifNotExists: false, nodes: [1, 2, 3] }
}

async function frames(count: number): Promise<readonly Frame[]> {
  const group = await FakeGroup.create(0, () => machineOn(new MemoryStateStore()))
  return Array.from({ length: count }, (_, step) =>
    group.append({ kind: FrameKind.command, payload: encodeCommand(command(step)) }),
  )
}

function infoAt(index: number): SnapshotInfo {
  const at = { index, term: 1, chain: 0, timestamp: 0, nextOffset: 0, configurationIndex: 1 }
  return { ...at, configuration: new Uint8Array(0), contentBytes: 1, contentChecksum: 0 }
}

test('restored anywhere it is the same state, durably, its owner is told, and it goes on the same', async () => {
  const all = await frames(30)
  for (let cut = 3; cut <= all.length; cut += 3) {
    const source = machineOn(new MemoryStateStore())
    source.apply(all.slice(0, cut))
    const hash = source.stateHash()
    const view = source.snapshots!.view()
    // The view is of its moment.
    source.apply(all.slice(cut))
    const store = new MemoryStateStore()
    let told = 0
    const target = machineOn(store, BASE, () => {
      told = target.applied.index
    })
    target.apply(all.slice(0, 2))
    await target.checkpoint()
    const applied = await target.snapshots!.restore(infoAt(view.applied.index), view.content())
    expect([applied, target.applied, target.stateHash(), told]).toEqual([
      view.applied,
      view.applied,
      hash,
      applied.index,
    ])
    const again = machineOn(store.crash(0), { index: applied.index })
    expect([again.applied, again.stateHash()]).toEqual([applied, hash])
    for (const machine of [target, again]) {
      machine.apply(all.slice(cut))
      expect(machine.stateHash()).toBe(source.stateHash())
    }
    await target.checkpoint()
    expect(machineOn(store).stateHash()).toBe(source.stateHash())
  }
})

test('content of another index is refused, and changes nothing', async () => {
  const source = machineOn(new MemoryStateStore())
  source.apply(await frames(5))
  const target = machineOn(new MemoryStateStore())
  const before = target.stateHash()
  const restoring = target.snapshots!.restore(infoAt(5), source.snapshots!.view().content())
  await expect(restoring).rejects.toThrow('catalogue: a snapshot at 5 of the state at 6')
  expect(target.stateHash()).toBe(before)
})

test('a log that was trimmed is not the beginning of an empty catalogue', () => {
  const nothing = (): void => undefined
  const options = { stateStore: new MemoryStateStore(), stored: undefined, base: { index: 7 } }
  expect(() => new CatalogueMachine({ ...options, onApplied: nothing, onLeadership: nothing })).toThrow(
    'the log begins after 7 and there is no checkpoint',
  )
  // With snapshots, another replica's state comes first.
  expect(machineOn(new MemoryStateStore(), { index: 7 }).applied).toEqual({ index: 0, term: 0 })
})
