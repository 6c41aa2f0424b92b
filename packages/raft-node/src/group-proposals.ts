/**
 * What the layers above may propose to one replica: whether it is taken is answered at once, what becomes of it later.
 *
 * Invariant: nothing is taken before the first entry of the leader's term is applied, and nothing once the node stops.
 */
import type { LogIndex, ReplicaId, StepResult, Term } from '@millrace/raft-core'
import { type FrameBody, FrameKind, frameBytes, MillraceError } from '@millrace/record'
import type { MemberChange, ProposalWaiter, ProposeResult } from './group-handle.ts'
import type { GroupStepper } from './group-stepper.ts'
import type { HostServices } from './host-services.ts'
import type { Leadership } from './leadership.ts'
import type { ReplicaPlaces } from './replica-places.ts'

/** Payload of one proposal; it has to fit in one message between peers. */
const PROPOSAL_BYTES_MAX = 8 * 1024 * 1024

type Dropped = Extract<ProposeResult, { type: 'dropped' }>

export interface GroupProposalsOptions {
  readonly services: HostServices
  readonly replica: ReplicaId
  readonly stepper: GroupStepper
  readonly leadership: Leadership
  readonly places: ReplicaPlaces
  /** Why the replica takes no part any more; undefined while it does. */
  readonly halted: () => string | undefined
  readonly wake: () => void
}

export class GroupProposals {
  /** Takes no more: the node is stopping. */
  draining = false
  readonly #options: GroupProposalsOptions
  /** The term in which this leader has proposed that it has no vote any more. */
  #leavingTerm: Term = 0

  constructor(options: GroupProposalsOptions) {
    this.#options = options
  }

  /** @throws MillraceError RECORD_TOO_LARGE */
  propose(body: FrameBody, waiter: ProposalWaiter): ProposeResult {
    const refused = this.#refusal()
    if (refused !== undefined) return refused
    const { services, stepper } = this.#options
    if (body.kind === FrameKind.records && !services.store.acceptsAppends) {
      return dropped('diskFull', 'the disk reserve is reached')
    }
    if (body.payload.length > PROPOSAL_BYTES_MAX) {
      const message = `a payload of ${body.payload.length} bytes is above the limit of ${PROPOSAL_BYTES_MAX}`
      throw new MillraceError('RECORD_TOO_LARGE', message)
    }
    const proposed = { size: frameBytes(body.payload.length), payload: body }
    const result = stepper.step({ type: 'propose', entries: [proposed] })
    return this.#answer(result, body.recordCount, waiter)
  }

  proposeChange({ steps, joining, expectedIndex }: MemberChange, waiter: ProposalWaiter): ProposeResult {
    const refused = this.#refusal()
    if (refused !== undefined) return refused
    const { stepper, places, replica } = this.#options
    const expected = expectedIndex === undefined ? {} : { expectedIndex }
    const change = { steps, transition: 'auto', ...expected } as const
    const result = stepper.step({ type: 'proposeConfigChange', change })
    // Before the entry is sealed, which is at the end of this replica's part in the next turn.
    if (result.type === 'accepted') {
      for (const place of joining) places.add(place)
      if (steps.some(step => step.id === replica && step.kind !== 'addVoter')) this.#leavingTerm = result.term
    }
    return this.#answer(result, 0, waiter)
  }

  /** Starts to hand leadership over to that replica. */
  transferTo(replica: ReplicaId): StepResult {
    const { leadership, stepper, wake } = this.#options
    if (leadership.role !== 'leader') {
      return { type: 'dropped', reason: 'notLeader', leader: leadership.leader, message: 'not the leader' }
    }
    const result = stepper.step({ type: 'transferLeader', target: replica })
    wake()
    return result
  }

  #refusal(): Dropped | undefined {
    const { leadership, halted } = this.#options
    const reason = halted()
    if (reason !== undefined) return dropped('halted', reason)
    if (this.draining) return dropped('transferring', 'the node is stopping')
    // It would not hear any more what became of entries that follow its own removal.
    if (this.#leavingTerm === leadership.term) return dropped('transferring', 'the leader is being removed')
    if (leadership.leading || leadership.role !== 'leader') return undefined
    return dropped('starting', 'the leader has not applied the first entry of its term yet')
  }

  #answer(result: StepResult, recordCount: number, waiter: ProposalWaiter): ProposeResult {
    if (result.type === 'ok') return dropped('notLeader', 'the proposal was passed on')
    if (result.type === 'dropped') return result
    this.#options.wake()
    return this.#accepted(result.index, result.term, recordCount, waiter)
  }

  #accepted(index: LogIndex, term: Term, recordCount: number, waiter: ProposalWaiter): ProposeResult {
    const baseOffset = this.#options.leadership.accepted(index, term, recordCount, waiter)
    return { type: 'accepted', index, term, baseOffset }
  }
}

function dropped(reason: Dropped['reason'], message: string): Dropped {
  return { type: 'dropped', reason, message }
}
