/**
 * A node of the scripts: the core with storage of its own. Without async storage writes a turn writes, applies and answers
 * by itself: the same tasks and responses, released at once and in the order in which etcd-io/raft's synchronous mode does.
 */
import type {
  AppendTask,
  ConfigChange,
  Entry,
  Input,
  Message,
  RaftConfig,
  SnapshotMeta,
  StepResult,
} from '../../src/index.ts'
import { RaftGroup } from '../../src/raft-group.ts'
import { isLocal, type Payload, type Ready, type ThreadMessage } from './ready.ts'
import { StoredLog } from './stored-log.ts'

export interface NodeOptions {
  readonly id: number
  readonly asyncStorageWrites: boolean
  readonly config: Omit<RaftConfig, 'id'>
  readonly born?: SnapshotMeta<Payload> | undefined
}

/** What an empty entry is counted for against the limit of committed bytes, as there: tag and length of three numbers. */
const EMPTY_ENTRY_BYTES = 6

/** Encoded size of a number in 7-bit groups. */
function varintBytes(value: number): number {
  return Math.max(1, Math.ceil(Math.log2(value + 1) / 7))
}

export class ScriptedNode {
  readonly id: number
  readonly group: RaftGroup<Payload>
  readonly log: StoredLog
  readonly appendWork: Extract<ThreadMessage, { type: 'threadAppend' }>[] = []
  readonly applyWork: Extract<ThreadMessage, { type: 'threadApply' }>[] = []
  readonly #async: boolean
  #voted: { readonly term: number; readonly vote: number } = { term: 0, vote: 0 }

  constructor(options: NodeOptions) {
    this.id = options.id
    this.#async = options.asyncStorageWrites
    this.log = new StoredLog(options.born)
    const { base, configuration } = this.log
    const config: RaftConfig = {
      electionTicks: 3,
      heartbeatTicks: 1,
      preVote: false,
      checkQuorum: false,
      forwardProposals: true,
      messageBytesMax: Number.POSITIVE_INFINITY,
      inflightMessagesMax: Number.POSITIVE_INFINITY,
      inflightBytesMax: 0,
      uncommittedBytesMax: 0,
      applyingBytesMax: Number.POSITIVE_INFINITY,
      cacheBytesMax: Number.POSITIVE_INFINITY,
      ownEntryBytes: EMPTY_ENTRY_BYTES,
      ...options.config,
      id: options.id,
    }
    this.group = new RaftGroup<Payload>(
      config,
      {
        hardState: { term: 0, vote: 0, commit: base.index },
        base,
        lastIndex: base.index,
        terms: [],
        configuration,
        configurationIndex: base.index,
        applied: base.index,
      },
      bound => Math.floor(bound / 2),
    )
    if (options.born) this.group.step({ type: 'snapshotAvailable', snapshot: options.born })
  }

  step(input: Input<Payload>): StepResult {
    return this.group.step(input)
  }

  propose(data: string): StepResult {
    const { lastIndex, term } = this.group.status()
    const bytes = new TextEncoder().encode(data).length
    const size = 3 + varintBytes(term) + 1 + varintBytes(lastIndex + 1) + 1 + varintBytes(bytes) + bytes
    return this.step({ type: 'propose', entries: [{ size, payload: { data } }] })
  }

  proposeChange(change: ConfigChange, v1: boolean): StepResult {
    const result = this.step({ type: 'proposeConfigChange', change, payload: { data: '', v1 } })
    return isRefusedChange(result) ? this.propose('') : result
  }

  /** A message off the network. */
  receive(message: Message<Payload>): StepResult {
    const result = this.step({ type: 'message', message })
    return message.type === 'propose' && isRefusedChange(result) ? this.propose('') : result
  }

  /** Takes one turn's output and, without async storage writes, does all of it. */
  handleReady(): { readonly ready: Ready; readonly sent: readonly Message<Payload>[] } {
    return this.#async ? this.#queueReady() : this.#finishReady()
  }

  #queueReady(): { ready: Ready; sent: Message<Payload>[] } {
    const output = this.group.takeOutput()
    const threads: ThreadMessage[] = []
    if (output.append) {
      const message = { type: 'threadAppend', task: output.append, responses: output.append.responses } as const
      this.appendWork.push({ ...message, from: this.id, to: this.id })
      threads.push({ ...message, from: this.id, to: this.id })
    }
    if (output.apply) {
      const message = { type: 'threadApply', task: output.apply, responses: output.apply.responses } as const
      this.applyWork.push({ ...message, from: this.id, to: this.id })
      threads.push({ ...message, from: this.id, to: this.id })
    }
    const ready = {
      mustSync: this.#mustSync(output.append),
      soft: output.soft,
      hardState: output.append?.hardState,
      reads: output.reads,
      entries: output.append?.entries ?? [],
      snapshot: output.append?.snapshot,
      committed: output.apply?.entries ?? [],
      messages: [...output.messages, ...threads],
    }
    return { ready, sent: [...output.messages] }
  }

  #finishReady(): { ready: Ready; sent: Message<Payload>[] } {
    const output = this.group.takeOutput()
    const responses = output.append?.responses ?? []
    const own = responses.filter(isLocal)
    const sent = [...output.messages, ...responses.filter(response => !isLocal(response))]
    const committed = [...(output.apply?.entries ?? [])]
    // There, what is written in a turn can be applied in it. Here it can once its storage has answered; that comes
    // first, then, except that nothing is applied in the turn of a snapshot.
    const stored = own.findIndex(response => response.type === 'storageAppended' && response.snapshot === undefined)
    if (stored >= 0) {
      this.step({ type: 'message', message: own.splice(stored, 1)[0]! })
      if (this.group.hasOutput()) committed.push(...(this.group.takeOutput().apply?.entries ?? []))
    }
    if (output.append) this.#write(output.append)
    this.#apply(committed)
    for (const message of own) this.step({ type: 'message', message })
    if (committed.length > 0) {
      const { term } = this.group.status()
      const message = { type: 'storageApplied', from: this.id, to: this.id, term, entries: committed } as const
      this.step({ type: 'message', message })
    }
    const ready = {
      mustSync: this.#mustSync(output.append),
      soft: output.soft,
      hardState: output.append?.hardState,
      reads: output.reads,
      entries: output.append?.entries ?? [],
      snapshot: output.append?.snapshot,
      committed,
      messages: sent,
    }
    return { ready, sent }
  }

  /** Does the oldest task of the append thread. */
  appendOne(): Extract<ThreadMessage, { type: 'threadAppend' }> | undefined {
    const work = this.appendWork.shift()
    if (work) this.#write(work.task)
    return work
  }

  /** Does the oldest task of the apply thread. */
  applyOne(): Extract<ThreadMessage, { type: 'threadApply' }> | undefined {
    const work = this.applyWork.shift()
    if (work) this.#apply(work.task.entries)
    return work
  }

  /** There, installing a snapshot does not have to be synced by itself. */
  #mustSync(append: AppendTask<Payload> | undefined): boolean {
    const before = this.#voted
    this.#voted = append?.hardState ?? before
    return (
      (append !== undefined && append.entries.length > 0) ||
      this.#voted.term !== before.term ||
      this.#voted.vote !== before.vote
    )
  }

  #write(task: AppendTask<Payload>): void {
    if (task.snapshot) this.log.install(task.snapshot)
    this.log.append(task.entries)
  }

  #apply(entries: readonly Entry<Payload>[]): void {
    for (const entry of entries) {
      const snapshot = this.log.apply(entry)
      this.step({ type: 'snapshotAvailable', snapshot })
      if (entry.kind === 'config') this.step({ type: 'configApplied', entry })
    }
  }

  compact(index: number): void {
    this.log.compact(index)
    this.step({ type: 'compacted', ...this.log.base })
  }
}

/** There, a change that cannot be now is replaced by an empty entry; here it is refused. */
function isRefusedChange(result: StepResult): boolean {
  return (
    result.type === 'dropped' && (result.reason === 'configChangePending' || result.reason === 'invalidConfigChange')
  )
}
