/** One line of text for every value of the core's interface: for logs, traces and failed tests. The format may change. */
import type { ConfigChange, Configuration } from './configuration.ts'
import type { Entry, ReplicaId } from './entry.ts'
import type { FetchRequest, Input, StepResult } from './input.ts'
import type { Message, SnapshotMeta } from './message.ts'
import type { AppendTask, ApplyTask, HardState, Output, ReadState, SoftState } from './output.ts'
import type { GroupStatus, PeerStatus } from './status.ts'
import type { TraceEvent } from './trace.ts'

function ids(list: readonly ReplicaId[]): string {
  return list.join(',')
}

/** A list, and nothing when it is empty. */
function part(name: string, list: readonly string[]): string {
  return list.length === 0 ? '' : ` ${name}[${list.join('; ')}]`
}

export function describeConfiguration(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration
  let text = `voters(${ids(voters)})`
  if (votersOutgoing.length > 0) text += `&(${ids(votersOutgoing)})`
  if (learners.length > 0) text += ` learners(${ids(learners)})`
  if (learnersNext.length > 0) text += ` learnersNext(${ids(learnersNext)})`
  return autoLeave ? `${text} autoLeave` : text
}

export function describeConfigChange(change: ConfigChange): string {
  const steps =
    change.steps.length === 0 ? 'leaveJoint' : change.steps.map(step => `${step.kind} ${step.id}`).join(', ')
  const expected = change.expectedIndex === undefined ? '' : ` expecting ${change.expectedIndex}`
  return `${steps} (${change.transition})${expected}`
}

export function describeEntry(entry: Entry): string {
  const config = entry.config === undefined ? '' : ` ${describeConfigChange(entry.config.change)}`
  return `${entry.term}/${entry.index} ${entry.kind} ${entry.size}B${config}`
}

/** A run of entries as its ends: messages hold many. */
export function describeEntries(entries: readonly Entry[]): string {
  const first = entries[0]
  if (first === undefined) return 'none'
  if (entries.length === 1) return describeEntry(first)
  return `${describeEntry(first)} … ${describeEntry(entries[entries.length - 1]!)} (${entries.length})`
}

export function describeSnapshot(snapshot: SnapshotMeta): string {
  return `snapshot ${snapshot.term}/${snapshot.index} ${describeConfiguration(snapshot.configuration)}`
}

export function describeMessage(message: Message): string {
  return `${message.from}→${message.to} ${message.type} term ${message.term}${describeBody(message)}`
}

function describeBody(m: Message): string {
  switch (m.type) {
    case 'preVote':
    case 'vote':
      return ` last ${m.lastTerm}/${m.lastIndex}${m.transfer ? ' transfer' : ''}`
    case 'preVoteResponse':
    case 'voteResponse':
      return m.granted ? ' granted' : ' refused'
    case 'append':
      return ` prev ${m.prevTerm}/${m.prevIndex} commit ${m.commit} entries ${describeEntries(m.entries)}`
    case 'appendResponse': {
      const lost = m.lostTail === true ? ' lost its tail' : ''
      return m.rejected ? ` refused ${m.index} hint ${m.hintTerm}/${m.hintIndex}${lost}` : ` matches to ${m.index}`
    }
    case 'heartbeat':
      return ` commit ${m.commit} context ${m.context}`
    case 'heartbeatResponse':
      return ` context ${m.context}${m.lostTail === true ? ' lost its tail' : ''}`
    case 'snapshot':
      return ` ${describeSnapshot(m.snapshot)}`
    case 'timeoutNow':
      return ''
    case 'readIndex':
      return ` context ${m.context}`
    case 'readIndexResponse':
      return ` context ${m.context} index ${m.index}`
    case 'transferLeader':
      return ` to ${m.target}`
    case 'propose':
      return ` ${m.entries.length} entries`
    case 'storageAppended':
      return ` durable ${m.logTerm}/${m.index}${m.snapshot === undefined ? '' : ` ${describeSnapshot(m.snapshot)}`}`
    case 'storageApplied':
      return ` ${describeEntries(m.entries)}`
  }
}

export function describeHardState(hard: HardState): string {
  return `term ${hard.term} vote ${hard.vote} commit ${hard.commit}`
}

export function describeSoftState(soft: SoftState): string {
  return `${soft.role} leader ${soft.leader}`
}

export function describeReadState(read: ReadState): string {
  return `read ${read.context} ${read.aborted === true ? 'aborted' : `at ${read.index}`}`
}

export function describeFetch(request: FetchRequest): string {
  const whom = request.purpose === 'apply' ? 'apply' : `replica ${request.peer}`
  return `fetch ${request.id} [${request.from}, ${request.to}) for ${whom} ≤${request.bytesMax}B term ${request.termAtRequest}`
}

export function describeAppendTask(task: AppendTask): string {
  const hard = task.hardState === undefined ? '' : ` ${describeHardState(task.hardState)}`
  const snapshot = task.snapshot === undefined ? '' : ` ${describeSnapshot(task.snapshot)}`
  const responses = part('then ', task.responses.map(describeMessage))
  return `append${task.mustSync ? ' sync' : ''}${hard}${snapshot} entries ${describeEntries(task.entries)}${responses}`
}

export function describeApplyTask(task: ApplyTask): string {
  return `apply ${describeEntries(task.entries)}${part('then ', task.responses.map(describeMessage))}`
}

/** Several lines: one per part that is there. */
export function describeOutput(output: Output): string {
  const lines = [
    ...(output.soft ? [describeSoftState(output.soft)] : []),
    ...output.messages.map(describeMessage),
    ...(output.append ? [describeAppendTask(output.append)] : []),
    ...(output.apply ? [describeApplyTask(output.apply)] : []),
    ...output.fetch.map(describeFetch),
    ...output.reads.map(describeReadState),
    ...(output.snapshotWanted === true ? ['snapshot wanted'] : []),
  ]
  return lines.length === 0 ? 'nothing' : lines.join('\n')
}

export function describeInput(input: Input): string {
  switch (input.type) {
    case 'message':
      return describeMessage(input.message)
    case 'propose':
      return `propose ${input.entries.length} entries`
    case 'proposeConfigChange':
      return `propose ${describeConfigChange(input.change)}`
    case 'readIndex':
      return `readIndex ${input.context}`
    case 'transferLeader':
      return `transferLeader to ${input.target}`
    case 'unreachable':
      return `unreachable ${input.peer}`
    case 'snapshotStatus':
      return `snapshot to ${input.peer} ${input.status}`
    case 'entriesFetched':
      return `${describeFetch(input.request)}: ${describeEntries(input.entries)}`
    case 'fetchFailed':
      return `${describeFetch(input.request)}: ${input.reason}`
    case 'compacted':
      return `compacted to ${input.term}/${input.index}`
    case 'snapshotAvailable':
      return `available: ${describeSnapshot(input.snapshot)}`
    case 'configApplied':
      return `applied ${describeEntry(input.entry)}`
    case 'holesFound':
      return `holes: ${input.holes.map(({ first, last }) => `${first}–${last}`).join(', ') || 'none'}`
    case 'holeFilled':
      return `hole ${input.first}–${input.last} filled`
    case 'stateRestored':
      return `state restored at ${input.state.term}/${input.state.index}`
    case 'tick':
    case 'campaign':
    case 'forgetLeader':
    case 'stepDown':
      return input.type
  }
}

export function describeStepResult(result: StepResult): string {
  switch (result.type) {
    case 'ok':
      return 'ok'
    case 'accepted':
      return `accepted at ${result.term}/${result.index}`
    case 'dropped':
      return `dropped (${result.reason}, leader ${result.leader}): ${result.message}`
  }
}

export function describePeer(peer: PeerStatus): string {
  let text = `${peer.id} ${peer.state} match ${peer.match} next ${peer.next}`
  if (peer.learner) text += ' learner'
  if (peer.paused) text += ' paused'
  if (!peer.recentActive) text += ' silent'
  if (peer.pendingSnapshot > 0) text += ` snapshot ${peer.pendingSnapshot}`
  if (peer.inflightMessages > 0) text += ` in flight ${peer.inflightMessages} (${peer.inflightBytes}B)`
  return text
}

export function describeStatus(status: GroupStatus): string {
  const { id, role, term, vote, leader, commit, applied, baseIndex, lastIndex, durableIndex } = status
  const log = `log (${baseIndex}, ${lastIndex}] durable ${durableIndex} commit ${commit} applied ${applied}`
  const uncertain = status.uncertainUntil
  return (
    `${id} ${role} term ${term} vote ${vote} leader ${leader} ${log} ` +
    `${describeConfiguration(status.configuration)}@${status.configurationIndex}` +
    (uncertain === undefined ? '' : ` uncertain until ${uncertain.term}/${uncertain.index}`) +
    part('peers', status.peers.map(describePeer))
  )
}

export function describeTrace(event: TraceEvent): string {
  const { type, id, ...details } = event
  const shown = Object.entries(details).map(([name, value]) =>
    typeof value === 'object' ? describeConfiguration(value) : `${name} ${value}`,
  )
  return [`${id}`, type, ...shown].join(' ')
}
