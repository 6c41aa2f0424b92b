/** How inputs and messages look in the trace. */
import type { Input, Message } from '@millrace/raft-core'
import type { Payload } from './payload.ts'
import type { Replica } from './replica.ts'
import { type TraceKind, traceKind } from './trace-log.ts'
import { note, type World } from './world.ts'

const MESSAGE: Readonly<Record<Message['type'], TraceKind>> = {
  preVote: traceKind('preVote', 'group from to term lastIndex lastTerm'),
  vote: traceKind('vote', 'group from to term lastIndex lastTerm'),
  preVoteResponse: traceKind('preVoteResponse', 'group from to term granted'),
  voteResponse: traceKind('voteResponse', 'group from to term granted'),
  append: traceKind('append', 'group from to term prevIndex prevTerm entries commit'),
  appendResponse: traceKind('appendResponse', 'group from to term index rejected hintIndex hintTerm'),
  heartbeat: traceKind('heartbeat', 'group from to term commit context'),
  heartbeatResponse: traceKind('heartbeatResponse', 'group from to term context'),
  snapshot: traceKind('snapshot', 'group from to term index snapshotTerm'),
  timeoutNow: traceKind('timeoutNow', 'group from to term'),
  readIndex: traceKind('readIndex', 'group from to term context'),
  readIndexResponse: traceKind('readIndexResponse', 'group from to term context index'),
  transferLeader: traceKind('transferLeader', 'group from to term target'),
  propose: traceKind('propose', 'group from to term entries'),
  storageAppended: traceKind('storageAppended', 'group from to term index logTerm'),
  storageApplied: traceKind('storageApplied', 'group from to term entries'),
}

const TICK = traceKind('tick', 'group replica term commit')

/** The inputs that are neither ticks nor messages. */
const OTHERS: readonly Input['type'][] = [
  'propose',
  'proposeConfigChange',
  'readIndex',
  'transferLeader',
  'campaign',
  'forgetLeader',
  'unreachable',
  'snapshotStatus',
  'entriesFetched',
  'fetchFailed',
  'compacted',
  'snapshotAvailable',
  'configApplied',
]
const INPUTS: ReadonlyMap<Input['type'], TraceKind> = new Map(
  OTHERS.map(type => [type, traceKind(`input ${type}`, 'group replica')]),
)

/** A message of another replica arrives. */
export function noteDelivery(world: World, replica: Replica, message: Message<Payload>): void {
  const values = [replica.group.id, message.from, message.to, message.term, ...numbersOf(message)]
  note(world, MESSAGE[message.type], ...values)
}

/** An input is about to be taken. */
export function noteStep(world: World, replica: Replica, input: Input<Payload>): void {
  const { group, id, status } = replica
  if (input.type === 'tick') note(world, TICK, group.id, id, status.term, status.commit)
  else if (input.type === 'message') {
    if (input.message.from === id) noteDelivery(world, replica, input.message)
  } else {
    const kind = INPUTS.get(input.type)
    if (kind !== undefined) note(world, kind, group.id, id)
  }
}

function numbersOf(message: Message<Payload>): number[] {
  switch (message.type) {
    case 'preVote':
    case 'vote':
      return [message.lastIndex, message.lastTerm]
    case 'preVoteResponse':
    case 'voteResponse':
      return [message.granted ? 1 : 0]
    case 'append':
      return [message.prevIndex, message.prevTerm, message.entries.length, message.commit]
    case 'appendResponse':
      return [message.index, message.rejected ? 1 : 0, message.hintIndex, message.hintTerm]
    case 'heartbeat':
      return [message.commit, message.context]
    case 'heartbeatResponse':
      return [message.context]
    case 'snapshot':
      return [message.snapshot.index, message.snapshot.term]
    case 'readIndex':
      return [message.context]
    case 'readIndexResponse':
      return [message.context, message.index]
    case 'transferLeader':
      return [message.target]
    case 'propose':
    case 'storageApplied':
      return [message.entries.length]
    case 'storageAppended':
      return [message.index, message.logTerm]
    case 'timeoutNow':
      return []
  }
}
