/**
 * Two groups on three nodes of the library: one with a long log that retention trims all the time, one with a large state.
 * Node 3 is killed under load, its folder removed, and a new replica put in its place, whose connection is cut three times.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SnapshotOptions } from '@millrace/raft-node'
import { freePorts, TcpProxy } from '@millrace/testkit'
import { forgetPeaks, peakRssBytes } from '../peers/process-figures.ts'
import { AppendRates, type Interval, judgeAppends } from './append-rates.ts'
import { GroupNode } from './group-node.ts'
import { type GroupReport, LOG_GROUP, type LoadOrder, STATE_GROUP, type StatusReport } from './messages.ts'
import { figure, MEMORY_BYTES_MAX, mebibytes, type Promises } from './promises.ts'

export interface GroupsSize {
  readonly logBytes: number
  readonly stateBytes: number
  readonly segmentBytesMax: number
  /** For the throughput without a replacement. */
  readonly beforeMs: number
  /** The run is long enough for the throughput to be judged. */
  readonly isMeasured: boolean
  /** Other than a node's defaults. */
  readonly snapshots?: Pick<SnapshotOptions, 'snapshotBytesPerSecondMax' | 'snapshotPinMs'>
}

const LOG_ENTRY_BYTES = 16 * 1024
const VALUE_BYTES = 64 * 1024
const LOG_IN_FLIGHT = 64
const STATE_IN_FLIGHT = 16
/** The second group gets a steady load, and the first what the machine has left. */
const STATE_PER_SECOND = 100
const CHUNK_BYTES = 256 * 1024
/** Chunks that a break may cost: those without an answer, and one that is being written. */
const CHUNKS_PER_CUT = 5
/** Where the connection is cut: parts of the state that the new replica has. */
const CUTS = [0.2, 0.45, 0.7]
const POLL_MS = 20
const CATCH_UP_MS = 600_000
const LEADER = 1
const VICTIM = 3
const NEW_REPLICA = 4

export async function runGroups(size: GroupsSize, folder: string, promises: Promises): Promise<void> {
  const run = await GroupsRun.start(size, folder)
  try {
    await run.fill()
    await run.replace()
    await run.judge(promises)
  } finally {
    await run.close()
  }
}

class GroupsRun {
  readonly #size: GroupsSize
  readonly #folder: string
  readonly #ports: readonly number[]
  readonly #proxy: TcpProxy
  readonly #nodes = new Map<number, GroupNode>()
  readonly #rates = { log: new AppendRates(), state: new AppendRates() }
  #sampling = true
  #sampler: Promise<void> | undefined
  #startedMs = 0
  #replacedMs = 0
  #loadedMs = 0
  #cuts = 0
  /** Base of the leader's log, which was kept for the new replica. */
  #pinnedAt = 0
  #snapshotBytes = 0

  private constructor(size: GroupsSize, folder: string, ports: readonly number[], proxy: TcpProxy) {
    this.#size = size
    this.#folder = folder
    this.#ports = ports
    this.#proxy = proxy
  }

  static async start(size: GroupsSize, folder: string): Promise<GroupsRun> {
    const ports = await freePorts(3)
    const run = new GroupsRun(size, folder, ports, await TcpProxy.to(ports[VICTIM - 1]!))
    await Promise.all([1, 2, 3].map(node => run.#startNode(node)))
    return run
  }

  /** Until log and state are as large as they are to be. */
  async fill(): Promise<void> {
    for (const group of [LOG_GROUP, STATE_GROUP]) await this.#makeLead(group)
    const { logBytes, stateBytes } = this.#size
    await this.#load({ ...this.#logLoad(), entriesMax: logBytes / LOG_ENTRY_BYTES })
    await this.#load({ ...this.#stateLoad(), entriesMax: stateBytes / VALUE_BYTES })
    await this.#until('the groups to be filled', ({ log, state }) => !log.loading && !state.loading)
    await this.#node(LEADER).ask({ type: 'takeSnapshot' })
    await this.#load(this.#logLoad())
    await this.#load({ ...this.#stateLoad(), perSecond: STATE_PER_SECOND })
  }

  async replace(): Promise<void> {
    this.#sampler = this.#sample()
    // A process that ended: whoever waits for the samples hears of it.
    this.#sampler.catch(() => undefined)
    await sleep(this.#size.beforeMs / 5)
    this.#loadedMs = performance.now()
    forgetPeaks([...this.#nodes.values()].map(({ pid }) => pid))
    await sleep(this.#size.beforeMs)
    await this.#node(VICTIM).kill()
    await rm(join(this.#folder, `${VICTIM}`), { recursive: true })
    await this.#startNode(VICTIM, NEW_REPLICA)
    this.#startedMs = performance.now()
    const cutting = this.#cutThrice()
    await Promise.all([LOG_GROUP, STATE_GROUP].map(group => this.#replaceIn(group)))
    await cutting
    this.#replacedMs = performance.now()
  }

  /** Lets retention catch up, stops the load, and compares the replicas. */
  async judge(promises: Promises): Promise<void> {
    const { log } = await this.#until('retention to go on', status => status.log.base > this.#pinnedAt)
    for (const group of [LOG_GROUP, STATE_GROUP]) await this.#node(LEADER).ask({ type: 'stopLoad', group })
    this.#sampling = false
    await this.#sampler
    await this.#until('the load to end', ({ log, state }) => !log.loading && !state.loading)
    for (const node of this.#nodes.values()) await node.ask({ type: 'keepAll' })
    this.#judgeRates(promises)
    await this.#judgeSnapshots(promises, log.base)
    for (const [name, group] of [['log', LOG_GROUP] as const, ['state', STATE_GROUP] as const])
      await this.#judgeReplicas(promises, name, group)
    this.#judgeMemory(promises)
  }

  async close(): Promise<void> {
    this.#sampling = false
    await Promise.all([...this.#nodes.values()].map(node => node.kill()))
    await this.#proxy.close()
  }

  async #startNode(nodeId: number, joinAs?: number): Promise<void> {
    const { segmentBytesMax, logBytes, snapshots = {} } = this.#size
    const peers = Object.fromEntries(this.#ports.map((port, at) => [at + 1, `127.0.0.1:${port}`]))
    if (nodeId !== VICTIM) peers[VICTIM] = this.#proxy.address
    const node = await GroupNode.start({
      ...{ nodeId, dir: join(this.#folder, `${nodeId}`), port: this.#ports[nodeId - 1]!, peers },
      ...{ retainEntries: logBytes / LOG_ENTRY_BYTES, segmentBytesMax, snapshots },
      ...(joinAs !== undefined && { joinAs }),
    })
    this.#nodes.set(nodeId, node)
  }

  #node(nodeId: number): GroupNode {
    return this.#nodes.get(nodeId)!
  }

  #status(nodeId: number = LEADER): Promise<StatusReport> {
    return this.#node(nodeId).ask({ type: 'status' })
  }

  async #until(what: string, holds: (status: StatusReport) => boolean, nodeId: number = LEADER): Promise<StatusReport> {
    const deadlineMs = performance.now() + CATCH_UP_MS
    for (;;) {
      const status = await this.#status(nodeId)
      if (holds(status)) return status
      if (performance.now() > deadlineMs) throw new Error(`waited ${CATCH_UP_MS / 1_000} s for ${what}`)
      await sleep(POLL_MS)
    }
  }

  /** Brings the leadership of a group to the node that proposes. */
  async #makeLead(group: number): Promise<void> {
    const of = ({ log, state }: StatusReport): GroupReport => (group === LOG_GROUP ? log : state)
    for (;;) {
      const { status } = of(await this.#status())
      if (status.role === 'leader' && status.applied === status.lastIndex) return
      const leader = this.#nodes.get(status.leaderNode)
      if (leader !== undefined && status.leaderNode !== LEADER)
        await leader.ask({ type: 'lead', group, node: LEADER }).catch(() => undefined)
      await sleep(200)
    }
  }

  #logLoad(): LoadOrder {
    return { type: 'load', group: LOG_GROUP, entryBytes: LOG_ENTRY_BYTES, inFlight: LOG_IN_FLIGHT, keys: 1 }
  }

  #stateLoad(): LoadOrder {
    const keys = this.#size.stateBytes / VALUE_BYTES
    return { type: 'load', group: STATE_GROUP, entryBytes: VALUE_BYTES + 8, inFlight: STATE_IN_FLIGHT, keys }
  }

  #load(order: LoadOrder): Promise<undefined> {
    return this.#node(LEADER).ask(order)
  }

  async #sample(): Promise<void> {
    while (this.#sampling) {
      const { log, state } = await this.#status()
      const nowMs = performance.now()
      this.#rates.log.add(nowMs, log.acknowledged * LOG_ENTRY_BYTES)
      this.#rates.state.add(nowMs, state.acknowledged * VALUE_BYTES)
      await sleep(100)
    }
  }

  async #replaceIn(group: number): Promise<void> {
    await this.#node(LEADER).ask({ type: 'replace', group, old: VICTIM, by: NEW_REPLICA, node: VICTIM })
    const seconds = (performance.now() - this.#startedMs) / 1_000
    figure(`group ${group} replaced`, `after ${seconds.toFixed(1)} s`)
  }

  async #cutThrice(): Promise<void> {
    for (const part of CUTS) {
      const { log, state } = await this.#until(
        `${part} of the state to be sent`,
        status => (progressOf(status)?.bytes ?? 0) >= part * this.#size.stateBytes,
      )
      const { bytes, bytesTotal } = progressOf({ state })!
      this.#snapshotBytes = bytesTotal
      // Its snapshot of the log waits for that of the state.
      this.#pinnedAt = log.base
      this.#proxy.cut()
      this.#cuts += 1
      figure('connection cut', `at ${mebibytes(bytes)} of ${mebibytes(bytesTotal)}`)
    }
  }

  #judgeRates(promises: Promises): void {
    const before: Interval = { fromMs: this.#loadedMs, toMs: this.#loadedMs + this.#size.beforeMs }
    const during: Interval = { fromMs: this.#startedMs, toMs: this.#replacedMs }
    for (const [name, rates] of Object.entries(this.#rates))
      judgeAppends(promises, name, { rates, before, during, isJudged: this.#size.isMeasured })
  }

  async #judgeSnapshots(promises: Promises, trimmedTo: number): Promise<void> {
    const { snapshots } = await this.#until('transfers to end', status => status.snapshots.sending === 0)
    const { installed } = (await this.#status(VICTIM)).snapshots
    const allowed = this.#snapshotBytes + this.#cuts * CHUNKS_PER_CUT * CHUNK_BYTES + CHUNK_BYTES
    promises.expect(
      'a snapshot that is cut goes on where it was',
      snapshots.bytesSent <= allowed,
      `${mebibytes(snapshots.bytesSent)} sent of ${mebibytes(this.#snapshotBytes)}, ${this.#cuts} cuts`,
    )
    promises.expect(
      'retention goes on, and forces no second snapshot',
      snapshots.sent === 2 && installed === 2,
      `the log was kept from ${this.#pinnedAt} on, then from ${trimmedTo} on; ${installed} snapshots installed in two groups, ${snapshots.sent} transfers, ${snapshots.taken} taken by thresholds`,
    )
  }

  async #judgeReplicas(promises: Promises, name: 'log' | 'state', group: number): Promise<void> {
    const leader = (await this.#status())[name]
    const reports = [leader]
    for (const node of [2, VICTIM])
      reports.push((await this.#until('equal ends', each => hasAll(each[name], leader), node))[name])
    const numbers = reports.map(({ state }) => `${state.next}`)
    promises.expect(
      `every acknowledged command of the ${name} is on every replica, once`,
      reports.every(({ state }) => state.misfits === 0 && state.next === leader.acknowledged),
      `${leader.acknowledged} acknowledged, ${numbers.join(', ')} there, ${reports.reduce((sum, { state }) => sum + state.misfits, 0)} out of order`,
    )
    const from = Math.max(...reports.map(({ base }) => base)) + 1
    const digests = await Promise.all([1, 2, VICTIM].map(node => this.#node(node).ask({ type: 'digest', group, from })))
    const texts = digests.map(digest => digest.toString(16))
    promises.expect(
      `the replicas of the ${name} are equal`,
      new Set(digests).size === 1,
      `${texts.join(', ')} from entry ${from} on`,
    )
  }

  #judgeMemory(promises: Promises): void {
    const { stateBytes } = this.#size
    const boundBytes = MEMORY_BYTES_MAX + 2 * stateBytes
    const peaks = [1, 2, VICTIM].map(node => peakRssBytes(this.#node(node).pid) ?? 0)
    promises.expect(
      `memory of every node is below twice the state and ${mebibytes(MEMORY_BYTES_MAX)}`,
      peaks.every(peak => peak <= boundBytes),
      peaks.map((peak, at) => `node ${at + 1} ${mebibytes(peak)}`).join(', '),
    )
  }
}

function progressOf({ state }: Pick<StatusReport, 'state'>): { bytes: number; bytesTotal: number } | undefined {
  return state.status.followers.find(({ replica }) => replica === NEW_REPLICA)?.snapshot
}

function hasAll({ status, state }: GroupReport, leader: GroupReport): boolean {
  return status.applied === leader.status.lastIndex && state.next === leader.state.next
}
