/**
 * The cost of the algorithm alone: three replicas in one thread, no I/O, every write durable at once. Entries are
 * committed on all three and applied. Also the cost of ticking many idle groups.
 */
import { type Configuration, type InitialState, type Input, type Message, RaftGroup } from '@millrace/raft-core'
import { grouped } from './statistics.ts'

const CONFIGURATION: Configuration = {
  voters: [1, 2, 3],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

function initialState(): InitialState<null> {
  return {
    hardState: { term: 1, vote: 0, commit: 1 },
    base: { index: 1, term: 1 },
    lastIndex: 1,
    terms: [],
    configuration: CONFIGURATION,
    configurationIndex: 1,
    applied: 1,
  }
}

/** Three replicas that hand each other's messages over at once. */
class Trio {
  readonly replicas: readonly RaftGroup<null>[]
  committed = 0

  constructor() {
    let seed = 1
    const randomInt = (bound: number) => {
      seed = (seed * 48_271) % 2_147_483_647
      return seed % bound
    }
    this.replicas = [1, 2, 3].map(id => new RaftGroup<null>({ id }, initialState(), randomInt))
    this.step(1, { type: 'campaign' })
    this.settle()
    if (this.replica(1).status().role !== 'leader') throw new Error('replica 1 was not elected')
  }

  replica(id: number): RaftGroup<null> {
    return this.replicas[id - 1] as RaftGroup<null>
  }

  step(id: number, input: Input<null>): void {
    this.replica(id).step(input)
  }

  deliver(messages: readonly Message<null>[]): void {
    for (const message of messages) this.replica(message.to).step({ type: 'message', message })
  }

  /** Carries out outputs until there are none. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false
      for (const replica of this.replicas) {
        if (!replica.hasOutput()) continue
        busy = true
        const output = replica.takeOutput()
        this.deliver(output.messages)
        if (output.append !== undefined) this.deliver(output.append.responses)
        if (output.apply === undefined) continue
        if (replica === this.replicas[0]) this.committed += output.apply.entries.length
        this.deliver(output.apply.responses)
      }
    }
  }
}

/** @returns committed entries per second */
function throughput(batch: number, entries: number): number {
  const trio = new Trio()
  const proposal = {
    type: 'propose',
    entries: Array.from({ length: batch }, () => ({ size: 100, payload: null })),
  } as const
  const run = (count: number) => {
    trio.committed = 0
    while (trio.committed < count) {
      trio.step(1, proposal)
      trio.settle()
    }
  }
  run(entries / 10)
  const started = performance.now()
  run(entries)
  return trio.committed / ((performance.now() - started) / 1000)
}

/** @returns milliseconds for one tick of `groups` idle followers */
function idleTick(groups: number): number {
  const replicas = Array.from(
    { length: groups },
    () => new RaftGroup<null>({ id: 1, electionTicks: 1000 }, initialState(), () => 0),
  )
  const rounds = 50
  const tickAll = () => {
    for (const replica of replicas) {
      replica.step({ type: 'tick' })
      if (replica.hasOutput()) replica.takeOutput()
    }
  }
  for (let i = 0; i < 10; i++) tickAll()
  const started = performance.now()
  for (let i = 0; i < rounds; i++) tickAll()
  return (performance.now() - started) / rounds
}

export function benchRaftCore(): void {
  process.stdout.write(`one at a time      ${grouped(throughput(1, 200_000))} committed entries/s\n`)
  process.stdout.write(`in batches of 64   ${grouped(throughput(64, 4_000_000))} committed entries/s\n`)
  process.stdout.write(`10,000 idle groups ${idleTick(10_000).toFixed(2)} ms per tick\n`)
}
