/**
 * The next step from the configuration of a group towards the replicas that the catalogue wishes for it. Pure.
 *
 * Every step follows from the configuration alone, so whoever leads next goes on where the last leader was. Never takes a
 * vote away while a new replica that could have it catches up, and never acts on a wish that is older than the
 * configuration: a replica that the wish does not know was given by a later one.
 */
import type { GroupConfiguration, MemberChange } from '@millrace/raft-node'
import type { GroupWish } from './group-wish.ts'

export type NextChange =
  | { readonly type: 'change'; readonly what: string; readonly change: MemberChange }
  /** A learner has to catch up first. */
  | { readonly type: 'catchUp'; readonly replica: number }
  /** This replica goes: another one has to lead. */
  | { readonly type: 'handOver'; readonly toNodes: readonly number[] }
  /** Nothing now. */
  | { readonly type: 'wait' }
  /** The members are what they are to be. */
  | { readonly type: 'settled' }
  /** Nothing this leader can do. */
  | { readonly type: 'stuck'; readonly reason: string }

export interface GroupView {
  /** The leader's own replica. */
  readonly self: number
  readonly configuration: GroupConfiguration
  readonly configurationIndex: number
  /** Wished replicas above this number stay learners; voters that there are keep their votes. */
  readonly votersMax: number
  /** Whether the replica has everything that was written a moment ago. */
  isCaughtUp(replica: number): boolean
  /** Whether the replica has answered lately. */
  isThere(replica: number): boolean
}

export function nextChange({ replicas, nextReplica }: GroupWish, view: GroupView): NextChange {
  const { voters, votersOutgoing, learners } = view.configuration
  const members = [...voters, ...learners]
  if (votersOutgoing.length > 0 || members.some(member => member >= nextReplica)) return { type: 'wait' }
  const wished = new Map(replicas.map(place => [place.replica, place]))
  const obsolete = learners.find(learner => !wished.has(learner))
  if (obsolete !== undefined) {
    return changeOf(view, `learner ${obsolete} is removed`, [{ kind: 'remove', id: obsolete }])
  }
  const joining = nextVoter(wished, view)
  if (joining !== undefined) return view.isCaughtUp(joining) ? promotion(joining, wished, view) : catchUp(joining)
  // In the order of their ids: once a higher one was a member, a lower one can never be.
  const [missing] = replicas.filter(({ replica }) => !members.includes(replica)).sort((a, b) => a.replica - b.replica)
  if (missing !== undefined) return addition(missing.replica, missing.node, view)
  return removal(wished, view)
}

/** The learner that is to vote. */
function nextVoter(wished: ReadonlyMap<number, unknown>, view: GroupView): number | undefined {
  const { voters, learners } = view.configuration
  const staying = voters.filter(voter => wished.has(voter)).length
  if (staying >= view.votersMax) return undefined
  return learners.find(learner => view.isThere(learner)) ?? learners[0]
}

const catchUp = (replica: number): NextChange => ({ type: 'catchUp', replica })

function addition(replica: number, node: number, view: GroupView): NextChange {
  const { configuration } = view
  const used = Math.max(configuration.lastReplica ?? 0, ...configuration.places.map(place => place.replica))
  if (replica <= used) {
    return { type: 'stuck', reason: `replica ${replica} was a member before, and an id is never used again` }
  }
  // Where the node is reached stands in the catalogue, which may be told another address later.
  const what = `replica ${replica} on node ${node} is added`
  return changeOf(view, what, [{ kind: 'addLearner', id: replica }], [{ replica, node }])
}

/** The learner's vote comes with the end of an old voter's, if there is one to go: that of its own node, or else another. */
function promotion(replica: number, wished: ReadonlyMap<number, unknown>, view: GroupView): NextChange {
  const { voters, places } = view.configuration
  const nodeOf = (id: number): number | undefined => places.find(place => place.replica === id)?.node
  const going = voters.filter(voter => !wished.has(voter) && voter !== view.self)
  const old = going.find(voter => nodeOf(voter) === nodeOf(replica)) ?? going[0]
  const vote = { kind: 'addVoter', id: replica } as const
  if (old === undefined) return changeOf(view, `replica ${replica} votes`, [vote])
  return changeOf(view, `replica ${replica} takes the vote of replica ${old}`, [vote, { kind: 'remove', id: old }])
}

function removal(wished: ReadonlyMap<number, { readonly node: number }>, view: GroupView): NextChange {
  const going = view.configuration.voters.filter(voter => !wished.has(voter))
  const [first] = going.filter(voter => voter !== view.self)
  if (first !== undefined) return changeOf(view, `replica ${first} is removed`, [{ kind: 'remove', id: first }])
  if (going.length === 0) return { type: 'settled' }
  return { type: 'handOver', toNodes: [...wished.values()].map(({ node }) => node) }
}

function changeOf(
  { configurationIndex: expectedIndex }: GroupView,
  what: string,
  steps: MemberChange['steps'],
  joining: MemberChange['joining'] = [],
): NextChange {
  return { type: 'change', what, change: { steps, joining, expectedIndex } }
}
