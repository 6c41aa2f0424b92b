/** Prints what the core says in the format of etcd-io/raft's scripted tests. Nothing of it is needed to run the core. */
import type {
  ConfigChange,
  ConfigChangeKind,
  Configuration,
  Entry,
  HardState,
  Message,
  PeerStatus,
  ReadState,
  Role,
  SnapshotMeta,
  SoftState,
} from '../src/index.ts'
import type { Payload, Ready, ThreadMessage, WireMessage } from './interaction/ready.ts'

/** The fields that a message is printed from. */
interface Fields {
  readonly from: string
  readonly to: string
  readonly type: string
  readonly term: number
  readonly logTerm: number
  readonly index: number
  readonly rejected?: boolean
  readonly hint?: number
  readonly commit?: number
  readonly vote?: number
  readonly entries?: readonly string[]
  readonly snapshot?: SnapshotMeta<Payload> | undefined
  readonly responses?: readonly WireMessage[]
}

export function formatMessage(message: WireMessage, indent = ''): string {
  const m = fieldsOf(message)
  let text = `${indent}${m.from}->${m.to} ${m.type} Term:${m.term} Log:${m.logTerm}/${m.index}`
  if (m.rejected) text += ` Rejected (Hint: ${m.hint ?? 0})`
  if (m.commit) text += ` Commit:${m.commit}`
  if (m.vote) text += ` Vote:${m.vote}`
  if (m.entries?.length === 1) text += ` Entries:[${m.entries[0]}]`
  else if (m.entries && m.entries.length > 1) {
    text += ` Entries:[${m.entries.map(entry => `\n${indent}  ${entry}`).join('')}\n${indent}]`
  }
  if (m.snapshot) text += `\n${indent}  Snapshot: ${formatSnapshot(m.snapshot)}`
  if (m.responses && m.responses.length > 0) {
    const nested = m.responses.map(response => `\n${formatMessage(response, `${indent}  `)}`).join('')
    text += ` Responses:[${nested}\n${indent}]`
  }
  return text
}

function fieldsOf(m: WireMessage): Fields {
  const between = { from: replica(m.from), to: replica(m.to), logTerm: 0, index: 0 }
  switch (m.type) {
    case 'threadAppend':
    case 'threadApply':
      return threadFields(m)
    case 'storageAppended':
      return {
        ...between,
        from: 'AppendThread',
        type: 'MsgStorageAppendResp',
        term: m.term,
        logTerm: m.logTerm,
        index: m.index,
        snapshot: m.snapshot,
      }
    case 'storageApplied':
      return {
        ...between,
        from: 'ApplyThread',
        type: 'MsgStorageApplyResp',
        term: 0,
        entries: m.entries.map(formatEntry),
      }
    case 'preVote':
    case 'vote': {
      const type = m.type === 'vote' ? 'MsgVote' : 'MsgPreVote'
      return { ...between, type, term: m.term, logTerm: m.lastTerm, index: m.lastIndex }
    }
    case 'preVoteResponse':
    case 'voteResponse': {
      const type = m.type === 'voteResponse' ? 'MsgVoteResp' : 'MsgPreVoteResp'
      return { ...between, type, term: m.term, rejected: !m.granted }
    }
    default:
      return leaderFields(m, { ...between, term: m.term })
  }
}

type ElectionType = 'preVote' | 'vote' | 'preVoteResponse' | 'voteResponse'
type StorageType = 'storageAppended' | 'storageApplied'

function leaderFields(
  m: Exclude<Message<Payload>, { type: ElectionType | StorageType }>,
  base: Omit<Fields, 'type'>,
): Fields {
  switch (m.type) {
    case 'append':
      return {
        ...base,
        type: 'MsgApp',
        logTerm: m.prevTerm,
        index: m.prevIndex,
        commit: m.commit,
        entries: m.entries.map(formatEntry),
      }
    case 'appendResponse':
      return {
        ...base,
        type: 'MsgAppResp',
        logTerm: m.hintTerm,
        index: m.index,
        rejected: m.rejected,
        hint: m.hintIndex,
      }
    case 'heartbeat':
      return { ...base, type: 'MsgHeartbeat', commit: m.commit }
    case 'heartbeatResponse':
      return { ...base, type: 'MsgHeartbeatResp' }
    case 'snapshot':
      return { ...base, type: 'MsgSnap', snapshot: m.snapshot }
    case 'timeoutNow':
      return { ...base, type: 'MsgTimeoutNow' }
    case 'transferLeader':
      // There the message counts as one of the target.
      return { ...base, type: 'MsgTransferLeader', from: replica(m.target) }
    case 'propose':
      return {
        ...base,
        type: 'MsgProp',
        term: 0,
        entries: m.entries.map(entry => formatEntry({ ...entry, index: 0, term: 0 })),
      }
    case 'readIndex':
      return { ...base, type: 'MsgReadIndex', term: 0, entries: [`0/0 EntryNormal "${m.context}"`] }
    case 'readIndexResponse':
      return { ...base, type: 'MsgReadIndexResp', index: m.index, entries: [`0/0 EntryNormal "${m.context}"`] }
  }
}

function threadFields(m: ThreadMessage): Fields {
  const responses = m.responses
  if (m.type === 'threadApply') {
    return {
      from: replica(m.from),
      to: 'ApplyThread',
      type: 'MsgStorageApply',
      term: 0,
      logTerm: 0,
      index: 0,
      entries: m.task.entries.map(formatEntry),
      responses,
    }
  }
  return {
    from: replica(m.from),
    to: 'AppendThread',
    type: 'MsgStorageAppend',
    term: m.task.hardState?.term ?? 0,
    logTerm: 0,
    index: 0,
    commit: m.task.hardState?.commit ?? 0,
    vote: m.task.hardState?.vote ?? 0,
    entries: m.task.entries.map(formatEntry),
    snapshot: m.task.snapshot,
    responses,
  }
}

function replica(id: number): string {
  return id === 0 ? 'None' : id.toString(16)
}

/** An entry without a place, as in a proposal, counts as 0/0. */
export function formatEntry(entry: Entry<Payload>): string {
  const place = `${entry.term}/${entry.index}`
  if (entry.kind === 'normal') return `${place} EntryNormal ${quote(entry.payload?.data ?? '')}`
  const type = entry.payload?.v1 === true ? 'EntryConfChange' : 'EntryConfChangeV2'
  const steps = entry.config === undefined ? '' : formatSteps(entry.config.change)
  return steps === '' ? `${place} ${type}` : `${place} ${type} ${steps}`
}

const LETTERS: Readonly<Record<ConfigChangeKind, string>> = { addVoter: 'v', addLearner: 'l', remove: 'r', update: 'u' }

function formatSteps(change: ConfigChange): string {
  return change.steps.map(step => `${LETTERS[step.kind]}${step.id}`).join(' ')
}

/** As Go quotes strings. */
function quote(text: string): string {
  const escaped = text.replace(/[\\"\n\r\t]/g, char => ESCAPES[char]!)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what has to be escaped
  return `"${escaped.replace(/[\u0000-\u001f\u007f]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

export function formatSnapshot(snapshot: SnapshotMeta<Payload>): string {
  return `Index:${snapshot.index} Term:${snapshot.term} ConfState:${formatConfState(snapshot.configuration)}`
}

function formatConfState(configuration: Configuration): string {
  const list = (ids: readonly number[]): string => `[${ids.join(' ')}]`
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration
  return (
    `Voters:${list(voters)} VotersOutgoing:${list(votersOutgoing)} Learners:${list(learners)} ` +
    `LearnersNext:${list(learnersNext)} AutoLeave:${autoLeave}`
  )
}

export function formatReady(ready: Ready): string {
  const lines: string[] = []
  if (ready.soft) lines.push(formatSoftState(ready.soft))
  if (ready.hardState) lines.push(`HardState ${formatHardState(ready.hardState)}`)
  if (ready.reads.length > 0) lines.push(`ReadStates [${ready.reads.map(formatReadState).join(' ')}]`)
  if (ready.entries.length > 0) lines.push('Entries:', ...ready.entries.map(formatEntry))
  if (ready.snapshot) lines.push(`Snapshot ${formatSnapshot(ready.snapshot)}`)
  if (ready.committed.length > 0) lines.push('CommittedEntries:', ...ready.committed.map(formatEntry))
  if (ready.messages.length > 0) lines.push('Messages:', ...ready.messages.map(message => formatMessage(message)))
  if (lines.length === 0) return '<empty Ready>'
  return [`Ready MustSync=${ready.mustSync}:`, ...lines].join('\n')
}

const ROLES: Readonly<Record<Role, string>> = {
  follower: 'StateFollower',
  preCandidate: 'StatePreCandidate',
  candidate: 'StateCandidate',
  leader: 'StateLeader',
}

export function formatRole(role: Role): string {
  return ROLES[role]
}

function formatSoftState(soft: SoftState): string {
  return `Lead:${soft.leader} State:${formatRole(soft.role)}`
}

function formatHardState(hard: HardState): string {
  return `Term:${hard.term}${hard.vote === 0 ? '' : ` Vote:${hard.vote}`} Commit:${hard.commit}`
}

/** The context is a byte string there. */
function formatReadState(read: ReadState): string {
  const bytes = [...String(read.context)].map(char => char.charCodeAt(0))
  return `{${read.index} [${bytes.join(' ')}]}`
}

export type ShownProgress = Pick<
  PeerStatus,
  | 'id'
  | 'match'
  | 'next'
  | 'state'
  | 'learner'
  | 'paused'
  | 'pendingSnapshot'
  | 'recentActive'
  | 'inflightMessages'
  | 'inflightFull'
>

const STATES = { probe: 'StateProbe', replicate: 'StateReplicate', snapshot: 'StateSnapshot' } as const

export function formatProgress(peer: ShownProgress): string {
  let text = `${peer.id}: ${STATES[peer.state]} match=${peer.match} next=${peer.next}`
  if (peer.learner) text += ' learner'
  if (peer.paused) text += ' paused'
  if (peer.pendingSnapshot > 0) text += ` pendingSnap=${peer.pendingSnapshot}`
  if (!peer.recentActive) text += ' inactive'
  if (peer.inflightMessages > 0) text += ` inflight=${peer.inflightMessages}${peer.inflightFull ? '[full]' : ''}`
  return text
}

export function formatConfiguration(configuration: Configuration): string {
  const set = (ids: readonly number[]): string => `(${ids.join(' ')})`
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration
  let text = `voters=${set(voters)}`
  if (votersOutgoing.length > 0) text += `&&${set(votersOutgoing)}`
  if (learners.length > 0) text += ` learners=${set(learners)}`
  if (learnersNext.length > 0) text += ` learners_next=${set(learnersNext)}`
  return autoLeave ? `${text} autoleave` : text
}
