/**
 * The clients of one replica: what they proposed and what they were told. A proposal that was accepted resolves by what
 * is applied at its place: acknowledged if it is that very entry, unknown otherwise. A crash leaves everything unknown.
 */
import type { LogIndex, ReadState, StepResult, Term } from '@millrace/raft-core'
import { frameBytes } from '@millrace/record'
import { invariant } from './invariants/violation.ts'
import { chainOf, commandBody, commandOf, frameOf, type SimEntry } from './payload.ts'
import type { Replica } from './replica.ts'
import { traceKind } from './trace-log.ts'
import { note, type World } from './world.ts'

const PROPOSED = traceKind('proposed', 'group replica command count index term')
const READ = traceKind('read answered', 'group replica context index aborted')

/** How much longer than its number a command may be. */
const COMMAND_BYTES_MAX = 100

interface Waiting {
  readonly term: Term
  readonly command: number
}

export class ClientLedger {
  readonly #world: World
  readonly #replica: Replica
  readonly #waiting: Map<LogIndex, Waiting> = new Map()
  /** By context: what was committed when the read was asked for. */
  readonly #reads: Map<number, LogIndex> = new Map()
  #lastContext = 0
  #confirmed = 0

  constructor(world: World, replica: Replica) {
    this.#world = world
    this.#replica = replica
  }

  /** Proposals without an answer that may still be committed: what is beyond the end of the log was replaced. */
  get waiting(): number {
    const { lastIndex } = this.#replica.status
    return [...this.#waiting.keys()].filter(index => index <= lastIndex).length
  }

  /** Reads that were confirmed so far. */
  get confirmed(): number {
    return this.#confirmed
  }

  /** Proposes `count` new commands as one batch. */
  propose(count: number): void {
    if (count > 1 && this.#replica.takesOneAtATime) {
      for (let i = 0; i < count; i++) this.propose(1)
      return
    }
    const { coverage, random } = this.#world
    const commands = Array.from({ length: count }, () => this.#world.nextCommand())
    const entries = commands.map(id => {
      const payload = commandBody(id, random.workload.int(COMMAND_BYTES_MAX))
      return { size: frameBytes(payload.payload.length), payload }
    })
    const { group } = this.#replica
    const result = this.#replica.step({ type: 'propose', entries })
    const place = result.type === 'accepted' ? [result.index, result.term] : []
    note(this.#world, PROPOSED, group.id, this.#replica.id, commands[0] ?? 0, count, ...place)
    if (result.type === 'accepted') {
      group.outcomes.accepted += count
      for (const [i, command] of commands.entries()) this.#await(result.index + i, { term: result.term, command })
    } else if (result.type === 'dropped') {
      coverage.hit('proposalDropped')
      group.outcomes.refused += count
      for (const command of commands) group.history.refused.add(command)
    } else {
      coverage.hit('forwardProposal')
      group.outcomes.unknown += count
    }
  }

  /** Asks for a linearizable read. */
  read(): void {
    this.#lastContext++
    const context = this.#lastContext
    this.#reads.set(context, this.#replica.group.history.committedTo)
    const { nowMs } = this.#replica.node
    const result: StepResult = this.#replica.step({ type: 'readIndex', context, nowMs })
    if (result.type === 'dropped') this.#reads.delete(context)
  }

  /** @returns what the read must have seen at least; undefined for one that was aborted, or that nobody waits for */
  readAnswered(read: ReadState): LogIndex | undefined {
    const { coverage } = this.#world
    note(this.#world, READ, this.#replica.group.id, this.#replica.id, read.context, read.index, read.aborted ? 1 : 0)
    const floor = this.#reads.get(read.context)
    this.#reads.delete(read.context)
    coverage.hit(read.aborted === true ? 'readAborted' : 'readConfirmed')
    if (read.aborted === true) return undefined
    this.#confirmed++
    return floor
  }

  /** An entry has been applied. */
  applied(entry: SimEntry): void {
    const waiting = this.#waiting.get(entry.index)
    if (waiting === undefined) return
    this.#waiting.delete(entry.index)
    const { group, id } = this.#replica
    if (waiting.term !== entry.term) {
      group.outcomes.unknown++
      return
    }
    group.outcomes.acknowledged++
    const command = commandOf(frameOf(entry))
    invariant(
      command === waiting.command && group.history.committed(entry.index)?.chain === chainOf(entry),
      'acknowledged is committed',
      () => `replica ${id} acknowledges command ${waiting.command} at ${entry.index}, committed is ${command}`,
    )
  }

  /** A snapshot has taken the place of everything up to `index`: what became of proposals there is not known. */
  skippedTo(index: LogIndex): void {
    for (const at of [...this.#waiting.keys()]) {
      if (at > index) continue
      this.#waiting.delete(at)
      this.#replica.group.outcomes.unknown++
    }
  }

  /** The process is gone, and nobody gets an answer any more. */
  forget(): void {
    this.#replica.group.outcomes.unknown += this.#waiting.size
    this.#waiting.clear()
    this.#reads.clear()
  }

  #await(index: LogIndex, waiting: Waiting): void {
    // Whatever waited at this place was replaced with its entry.
    if (this.#waiting.has(index)) this.#replica.group.outcomes.unknown++
    this.#waiting.set(index, waiting)
  }
}
