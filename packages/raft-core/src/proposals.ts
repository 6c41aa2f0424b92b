/** Proposals: appended by a leader, passed on or refused by everybody else. All entries of a proposal go in, or none. */
import type { ConfigChange } from './configuration.ts'
import { NONE, type ReplicaId } from './entry.ts'
import type { GroupState } from './group-state.ts'
import type { DropReason, StepResult } from './input.ts'
import { bytesOf } from './log/entry-window.ts'
import { proposeChange } from './membership/membership.ts'
import type { ForwardedProposal } from './message.ts'
import { appendOwn, broadcastAppend, type EntryDraft } from './replication.ts'

const OK: StepResult = { type: 'ok' }

export function dropped<P>(s: GroupState<P>, reason: DropReason, message: string): StepResult {
  return { type: 'dropped', reason, leader: s.leader, message }
}

export function propose<P>(s: GroupState<P>, drafts: readonly EntryDraft<P>[]): StepResult {
  if (drafts.length === 0) throw new RangeError('a proposal needs at least one entry')
  if (s.role !== 'leader') return passOn(s, drafts, NONE)
  const refusal = refusalToAppend(s)
  if (refusal !== undefined) return refusal
  const bytes = bytesOf(drafts)
  if (!s.uncommitted.fits(bytes)) {
    const { uncommittedBytesMax } = s.settings
    const message = `${s.uncommitted.bytes} bytes are not committed, ${bytes} more exceed uncommittedBytesMax ${uncommittedBytesMax}`
    return dropped(s, 'uncommittedBytesMax', message)
  }
  const index = appendOwn(s, drafts)
  broadcastAppend(s)
  return { type: 'accepted', index, term: s.term }
}

export function proposeConfigChange<P>(s: GroupState<P>, change: ConfigChange, payload: P | null): StepResult {
  if (s.role !== 'leader') {
    const config = { change, result: s.configuration }
    return passOn(s, [{ kind: 'config', size: s.settings.ownEntryBytes, payload, config }], NONE)
  }
  return refusalToAppend(s) ?? proposeChange(s, change, payload)
}

/** A proposal that another replica passed on. */
export function handleForwarded<P>(s: GroupState<P>, m: ForwardedProposal<P>): StepResult {
  if (s.role !== 'leader') return passOn(s, m.entries.map(draftOf), m.from)
  const [only] = m.entries
  if (only?.kind === 'config' && m.entries.length === 1 && only.config !== undefined) {
    // The sender's view of the result may be out of date; only its wish counts.
    return proposeConfigChange(s, only.config.change, only.payload)
  }
  return m.entries.some(entry => entry.kind === 'config')
    ? dropped(s, 'invalidConfigChange', 'a configuration change travels alone')
    : propose(s, m.entries.map(draftOf))
}

function draftOf<P>(entry: ForwardedProposal<P>['entries'][number]): EntryDraft<P> {
  const draft = { kind: entry.kind, size: entry.size, payload: entry.payload }
  return entry.config === undefined ? draft : { ...draft, config: entry.config }
}

function refusalToAppend<P>(s: GroupState<P>): StepResult | undefined {
  if (!s.tracker.progress.has(s.id)) {
    return dropped(s, 'removed', `replica ${s.id} was removed from the group while it leads it`)
  }
  if (s.transferee !== NONE) {
    return dropped(s, 'transferring', `leadership is being transferred to replica ${s.transferee}: try again there`)
  }
  return undefined
}

function passOn<P>(s: GroupState<P>, drafts: readonly EntryDraft<P>[], from: ReplicaId): StepResult {
  if (s.leader === NONE || s.role !== 'follower') return dropped(s, 'noLeader', 'no leader is known: try again later')
  if (!s.settings.forwardProposals) return dropped(s, 'notLeader', `replica ${s.leader} leads`)
  // Two followers that each take the other for the leader must not pass a proposal to and fro.
  if (from !== NONE && from === s.leader) return dropped(s, 'notLeader', `replica ${from} does not lead either`)
  s.send({ type: 'propose', to: s.leader, entries: drafts })
  return OK
}
