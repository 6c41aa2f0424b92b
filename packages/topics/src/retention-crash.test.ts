/**
 * A loss of power, or a death, at any operation of a disk while records come and go. The next process finds every record
 * from the log start on, a checkpoint that the log goes on from, and a log start that was answered.
 */
import { FaultDisk, openOn, seededRandom } from '@millrace/log-store/testing'
import { birthGroup, createNode, type RaftNode } from '@millrace/raft-node'
import { createMemoryNetwork } from '@millrace/raft-node/memory'
import { until } from '@millrace/raft-node/testing'
import { crc32, framePayload, MillraceError } from '@millrace/record'
import { afterEach, expect, test } from 'vitest'
import { MemoryStateStore } from './memory-state-store.ts'
import { PartitionMachine } from './partition-machine.ts'
import { PartitionReplica } from './partition-replica.ts'

const GROUP = 5
const BATCHES = 12
/** Every so many batches, all but the newest two go. */
const TRIM_EVERY = 4

/** What was answered. */
interface Answered {
  records: number
  logStart: number
}

interface Opened {
  readonly node: RaftNode
  readonly replica: PartitionReplica
}

let running: RaftNode[] = []
afterEach(async () => {
  await Promise.all(running.map(node => node.shutdown()))
  running = []
})

/** Without snapshots: nothing but the checkpoint may stand in for what was trimmed. */
async function start(disk: FaultDisk, stateStore: MemoryStateStore): Promise<Opened> {
  const logStore = await openOn(disk, { onFatal: () => undefined, segmentBytesMax: 1_000 })
  const [log] = logStore.groups()
  if (log === undefined) throw new Error(`refused: ${logStore.refused()[0]?.reason.message}`)
  const stored = stateStore.load(GROUP)
  if (log.base.index > 1) expect(stored!.applied.index).toBeGreaterThanOrEqual(log.base.index)
  const timing = { heartbeatMs: 5, electionTimeoutMinMs: 10 }
  const node = await createNode({ nodeId: 1, logStore, transport: createMemoryNetwork().transport(1), timing })
  running.push(node)
  const machine = new PartitionMachine({ group: GROUP, stateStore, stored, base: log.base })
  return { node, replica: new PartitionReplica('orders', 0, machine, await node.open(GROUP, machine)) }
}

function append(replica: PartitionReplica, number: number): Promise<void> {
  const payload = new Uint8Array(150).fill(number)
  return new Promise((resolve, reject) => {
    replica.append({ payload, payloadCrc: crc32(payload), codec: 0, count: 1 }, answer => {
      if (answer instanceof MillraceError) reject(answer)
      else resolve()
    })
  })
}

/** Appends what is still to come, and trims as it goes. */
async function work({ replica }: Opened, answered: Answered): Promise<void> {
  await until('it leads', () => replica.leading)
  for (let number = replica.highWatermark; number < BATCHES; number++) {
    await append(replica, number)
    answered.records = number + 1
    if (answered.records % TRIM_EVERY === 0) await trim(replica, number - 1, answered)
  }
  await trim(replica, BATCHES - 2, answered)
}

async function trim(replica: PartitionReplica, offset: number, answered: Answered): Promise<void> {
  answered.logStart = await replica.startLogAt(offset)
  await replica.trimLog()
  expect(replica.handle.log.base.nextOffset).toBe(offset)
}

async function numbersOf(replica: PartitionReplica): Promise<readonly number[]> {
  const found: number[] = []
  for (let offset = replica.logStartOffset; offset < replica.highWatermark; ) {
    const { frames, nextOffset } = await replica.read(offset, 1_000)
    found.push(...frames.map(frame => framePayload(frame)[0]!))
    offset = nextOffset
  }
  return found
}

async function born(): Promise<FaultDisk> {
  const disk = new FaultDisk(seededRandom(3))
  const logStore = await openOn(disk)
  await birthGroup(logStore, { clusterId: 'c', group: GROUP, nodes: [1], nodeId: 1 })
  await logStore.close()
  return disk
}

/** @returns operations until everything was done */
async function run(before: FaultDisk, crashAt: number, losesPower: boolean): Promise<number> {
  const disk = before.clone()
  disk.faults.crashAt = crashAt
  const stateStore = new MemoryStateStore()
  const answered: Answered = { records: 0, logStart: 0 }
  let failure: unknown
  let done = false
  const working = (async () => {
    await work(await start(disk, stateStore), answered)
    done = true
  })()
  working.catch((error: unknown) => {
    failure = error
  })
  await until('it is done, or its disk has stopped', () => done || disk.stopped || failure !== undefined)
  if (!disk.stopped) {
    if (failure !== undefined) throw failure
    const [node] = running.splice(0)
    await node!.shutdown()
    return disk.operations
  }
  // It waits for a disk that answers nothing any more.
  for (const zombie of running.splice(0)) void zombie.shutdown()
  const known = { ...answered }
  const survivor = losesPower ? disk.losePower() : disk.kill()
  const again = await start(survivor, stateStore.crash(losesPower ? 0 : stateStore.unflushed))
  await until('it leads', () => again.replica.leading)
  const { replica } = again
  expect(replica.highWatermark).toBeGreaterThanOrEqual(known.records)
  expect(replica.logStartOffset).toBeGreaterThanOrEqual(known.logStart)
  const whole = (): readonly number[] =>
    Array.from({ length: replica.highWatermark - replica.logStartOffset }, (_, i) => replica.logStartOffset + i)
  expect(await numbersOf(replica)).toEqual(whole())
  await work(again, known)
  expect([replica.highWatermark, replica.logStartOffset]).toEqual([BATCHES, BATCHES - 2])
  expect(await numbersOf(replica)).toEqual(whole())
  running = []
  await again.node.shutdown()
  return disk.operations
}

test.each([
  ['loses its power', true],
  ['is killed', false],
])('a node that %s at any operation keeps what is above the log start', { timeout: 120_000 }, async (_, losesPower) => {
  const before = await born()
  const operations = await run(before, Number.POSITIVE_INFINITY, losesPower)
  expect(operations).toBeGreaterThan(30)
  for (let at = 1; at <= operations; at++) await run(before, at, losesPower)
})
