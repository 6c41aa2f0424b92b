/**
 * A replica with a disk and a state machine, both in memory, for tests of the core. Its storage finishes a task when it is
 * told to, so a test decides what is durable when.
 */
import type { InitialState, RaftConfig, RandomInt } from '../config.ts'
import type { Configuration } from '../configuration.ts'
import type { Entry, LogIndex, ReplicaId, Term } from '../entry.ts'
import type { FetchRequest, Input, StepResult } from '../input.ts'
import { checkInvariants } from '../invariants.ts'
import type { Message, SnapshotMeta } from '../message.ts'
import type { AppendTask, ApplyTask, HardState, Output, ReadState } from '../output.ts'
import { RaftGroup } from '../raft-group.ts'

/** What survives a restart. */
export interface Disk {
  hard: HardState
  base: { index: LogIndex; term: Term }
  entries: Entry<string>[]
  /** Newest configuration known at or below the base. */
  baseConfiguration: Configuration
  baseConfigurationIndex: LogIndex
  /** What had been applied at the base. */
  baseState: readonly string[]
}

export class TestReplica {
  readonly id: ReplicaId
  readonly config: RaftConfig
  readonly disk: Disk
  group: RaftGroup<string>
  readonly appendTasks: AppendTask<string>[] = []
  readonly applyTasks: ApplyTask<string>[] = []
  readonly fetches: FetchRequest[] = []
  /** Payloads in the order of apply; a restart begins anew. */
  applied: string[]
  appliedIndex: LogIndex
  readonly reads: ReadState[] = []
  /** Every output, for tests that look at one. */
  lastOutput: Output<string> | undefined
  readonly #randomInt: RandomInt

  constructor(config: RaftConfig, disk: Disk, randomInt: RandomInt) {
    this.id = config.id
    this.config = config
    this.disk = disk
    this.#randomInt = randomInt
    this.appliedIndex = disk.base.index
    this.applied = [...disk.baseState]
    this.group = new RaftGroup<string>(config, initialState(disk), randomInt)
  }

  /** Loses everything that is not on disk. */
  restart(extra: Partial<InitialState<string>> = {}): void {
    this.appendTasks.length = 0
    this.applyTasks.length = 0
    this.fetches.length = 0
    this.applied = [...this.disk.baseState]
    this.appliedIndex = this.disk.base.index
    this.group = new RaftGroup<string>(this.config, { ...initialState(this.disk), ...extra }, this.#randomInt)
  }

  /** Starts anew with a log of entries of these terms after the base, and `term` as the current one. */
  load(terms: readonly Term[], term: Term = terms.at(-1) ?? 1, commit: LogIndex = this.disk.base.index): void {
    const first = this.disk.base.index + 1
    this.disk.entries = terms.map((entryTerm, i) => {
      const payload = `${entryTerm}.${first + i}`
      return { index: first + i, term: entryTerm, kind: 'normal', size: payload.length, payload }
    })
    this.disk.hard = { term, vote: 0, commit }
    this.restart()
  }

  /** Terms of the log on disk, after the base. */
  get storedTerms(): Term[] {
    return this.disk.entries.map(entry => entry.term)
  }

  /** Steps the core and checks what must hold on every step. */
  step(input: Input<string>): StepResult {
    const before = this.group.status()
    const result = this.group.step(input)
    checkInvariants(before, this.group.status())
    return result
  }

  receive(message: Message<string>): StepResult {
    return this.step({ type: 'message', message })
  }

  /** Takes the output and queues its tasks; returns what leaves over the network at once. */
  drain(): Message<string>[] {
    if (!this.group.hasOutput()) return []
    const output = this.group.takeOutput()
    this.lastOutput = output
    if (output.append) this.appendTasks.push(output.append)
    if (output.apply) this.applyTasks.push(output.apply)
    this.fetches.push(...output.fetch)
    this.reads.push(...output.reads)
    return output.messages.filter(message => message.type !== 'snapshot' || this.#fill(message.snapshot))
  }

  /** A snapshot of a base that has moved on cannot be sent any more: its transfer will be reported as failed. */
  #fill(snapshot: SnapshotMeta<string>): boolean {
    if (snapshot.payload !== null) return true
    if (snapshot.index !== this.disk.base.index) return false
    snapshot.payload = JSON.stringify(this.disk.baseState)
    return true
  }

  /** Completes the oldest write; returns the responses for others, and steps its own. */
  completeAppend(): Message<string>[] {
    const task = this.appendTasks.shift()
    if (task === undefined) return []
    if (task.hardState) this.disk.hard = task.hardState
    if (task.snapshot) this.#install(task.snapshot)
    const first = task.entries[0]
    if (first) {
      this.disk.entries.length = first.index - this.disk.base.index - 1
      this.disk.entries.push(...task.entries)
    }
    return this.#respond(task.responses)
  }

  /** Completes the oldest apply task. */
  completeApply(): Message<string>[] {
    const task = this.applyTasks.shift()
    if (task === undefined) return []
    for (const entry of task.entries) {
      // A snapshot that was installed meanwhile holds it already.
      if (entry.index <= this.disk.base.index) continue
      if (entry.index !== this.appliedIndex + 1) throw new Error(`applied ${entry.index} after ${this.appliedIndex}`)
      this.appliedIndex = entry.index
      if (entry.kind === 'normal' && entry.payload !== null) this.applied.push(entry.payload)
    }
    return this.#respond(task.responses)
  }

  /** Answers the oldest fetch from disk. */
  completeFetch(): void {
    const request = this.fetches.shift()
    if (request === undefined) return
    const start = request.from - this.disk.base.index - 1
    if (start < 0) this.step({ type: 'fetchFailed', request, reason: 'compacted' })
    else {
      const entries = this.disk.entries.slice(start, request.to - this.disk.base.index - 1)
      let bytes = 0
      const fitting = entries.filter((entry, i) => {
        bytes += entry.size
        return i === 0 || bytes <= request.bytesMax
      })
      this.step({ type: 'entriesFetched', request, entries: fitting })
    }
  }

  /** Drops the log up to and including `index`. */
  compact(index: LogIndex): void {
    const { disk } = this
    const term = this.group.term(index)!
    const dropped = disk.entries.filter(entry => entry.index <= index)
    const change = dropped.findLast(entry => entry.config)
    disk.baseConfiguration = change?.config?.result ?? disk.baseConfiguration
    disk.baseConfigurationIndex = change?.index ?? disk.baseConfigurationIndex
    disk.baseState = [...disk.baseState, ...dropped.flatMap(entry => entry.payload ?? [])]
    disk.entries = disk.entries.slice(index - disk.base.index)
    disk.base = { index, term }
    this.step({ type: 'compacted', index, term })
  }

  #install(snapshot: SnapshotMeta<string>): void {
    this.disk.base = { index: snapshot.index, term: snapshot.term }
    this.disk.baseConfiguration = snapshot.configuration
    this.disk.baseConfigurationIndex = snapshot.configurationIndex ?? snapshot.index
    this.disk.entries = []
    this.appliedIndex = snapshot.index
    this.disk.baseState = JSON.parse(snapshot.payload ?? '[]') as string[]
    this.applied = [...this.disk.baseState]
  }

  #respond(responses: readonly Message<string>[]): Message<string>[] {
    for (const response of responses) {
      if (response.to === this.id) this.receive(response)
    }
    return responses.filter(response => response.to !== this.id)
  }
}

function initialState(disk: Disk): InitialState<string> {
  const terms: { first: LogIndex; term: Term }[] = []
  for (const entry of disk.entries) {
    if (terms.at(-1)?.term !== entry.term) terms.push({ first: entry.index, term: entry.term })
  }
  const commit = Math.max(disk.base.index, Math.min(disk.hard.commit, disk.base.index + disk.entries.length))
  const configs = disk.entries.filter(entry => entry.config !== undefined)
  const inForce = configs.findLast(entry => entry.index <= commit)
  return {
    hardState: { ...disk.hard, commit },
    base: disk.base,
    lastIndex: disk.base.index + disk.entries.length,
    terms,
    configuration: inForce?.config?.result ?? disk.baseConfiguration,
    configurationIndex: inForce?.index ?? disk.baseConfigurationIndex,
    baseConfiguration: disk.baseConfiguration,
    baseConfigurationIndex: disk.baseConfigurationIndex,
    applied: disk.base.index,
    entries: disk.entries,
    unappliedConfigIndexes: configs.map(entry => entry.index).filter(index => index > (inForce?.index ?? 0)),
  }
}
