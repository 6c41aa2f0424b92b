/** The commands of the interaction/ scripts. */
import type { ConfigChange, RaftConfig } from '../../src/index.ts'
import { parseSteps } from '../config-steps.ts'
import type { Directive } from '../data-driven.ts'
import { formatEntry, formatMessage, formatProgress, formatRole } from '../format.ts'
import { Environment, type Recipient } from './environment.ts'
import type { ScriptedNode } from './scripted-node.ts'

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'none']

type Command = (env: Environment, directive: Directive) => void

/** @returns what runs the directives of one file */
export function interactionScript(): (directive: Directive) => string {
  const env = new Environment()
  let level = 'debug'
  return directive => {
    let failure: string | undefined
    let quiet = level === 'none'
    try {
      if (directive.command === 'log-level') {
        level = levelOf(positional(directive)[0] ?? '')
        quiet = level === 'none'
      } else {
        const own = values(directive, 'log-level')[0]
        if (own !== undefined) quiet = levelOf(own) === 'none'
        const command = COMMANDS[directive.command]
        if (command === undefined) throw new Error('unknown command')
        command(env, directive)
      }
    } catch (error) {
      failure = (error as Error).message
    }
    const text = env.takeText()
    // The quiet level silences everything but errors.
    const shown = [...(quiet || text === '' ? [] : [text]), ...(failure === undefined ? [] : [failure])]
    return shown.length === 0 ? 'ok' : shown.join('\n')
  }
}

function levelOf(name: string): string {
  const level = name.toLowerCase()
  if (!LOG_LEVELS.includes(level)) throw new Error(`log levels must be either of [${LOG_LEVELS.join(' ')}]`)
  return level
}

const COMMANDS: Readonly<Record<string, Command>> = {
  'add-nodes': addNodes,
  campaign: (env, directive) => {
    first(env, directive).step({ type: 'campaign' })
  },
  compact: (env, directive) => {
    const node = first(env, directive)
    node.compact(Number(positional(directive)[1]))
    printLog(env, node)
  },
  'deliver-msgs': deliverMessages,
  'forget-leader': (env, directive) => {
    first(env, directive).step({ type: 'forgetLeader' })
  },
  'log-level': () => {},
  'process-append-thread': (env, directive) =>
    forEach(env, directive, 'processing append thread', node => env.processAppend(node)),
  'process-apply-thread': (env, directive) =>
    forEach(env, directive, 'processing apply thread', node => env.processApply(node)),
  'process-ready': (env, directive) => forEach(env, directive, 'handling Ready', node => env.handleReady(node)),
  propose: (env, directive) => {
    const result = first(env, directive).propose(positional(directive)[1] ?? '')
    if (result.type === 'dropped') throw new Error('raft proposal dropped')
  },
  'propose-conf-change': proposeConfigChange,
  'raft-log': (env, directive) => printLog(env, first(env, directive)),
  'raft-state': env => {
    for (const node of env.nodes) env.print(stateLine(node))
  },
  'report-unreachable': (env, directive) => {
    first(env, directive).step({ type: 'unreachable', peer: Number(positional(directive)[1]) })
  },
  'send-snapshot': sendSnapshot,
  'set-randomized-election-timeout': (env, directive) => {
    first(env, directive).group.overrideElectionTimeout(Number(values(directive, 'timeout')[0]))
  },
  stabilize: (env, directive) => {
    const ids = positional(directive)
    env.stabilize(ids.length === 0 ? env.nodes : ids.map(id => env.node(Number(id))))
  },
  status: (env, directive) => {
    for (const peer of first(env, directive).group.status().peers) env.print(formatProgress(peer))
  },
  'tick-election': (env, directive) => tick(first(env, directive), 3),
  'tick-heartbeat': (env, directive) => tick(first(env, directive), 1),
  'transfer-leadership': (env, directive) => {
    const target = Number(values(directive, 'to')[0])
    env.node(Number(values(directive, 'from')[0])).step({ type: 'transferLeader', target })
  },
}

function positional(directive: Directive): string[] {
  return directive.arguments.filter(argument => argument.values.length === 0).map(argument => argument.key)
}

function values(directive: Directive, key: string): readonly string[] {
  return directive.arguments.find(argument => argument.key === key)?.values ?? []
}

function first(env: Environment, directive: Directive): ScriptedNode {
  return env.node(Number(positional(directive)[0]))
}

function forEach(env: Environment, directive: Directive, doing: string, act: (node: ScriptedNode) => void): void {
  const nodes = positional(directive).map(id => env.node(Number(id)))
  for (const node of nodes) {
    if (nodes.length === 1) act(node)
    else env.section(`> ${node.id} ${doing}`, () => act(node))
  }
}

function tick(node: ScriptedNode, count: number): void {
  for (let i = 0; i < count; i++) node.step({ type: 'tick' })
}

function addNodes(env: Environment, directive: Directive): void {
  const numbers = (key: string): number[] => values(directive, key).map(Number)
  const [count] = positional(directive)
  env.addNodes(Number(count), {
    voters: numbers('voters'),
    learners: numbers('learners'),
    index: numbers('index')[0] ?? 0,
    content: values(directive, 'content')[0] ?? '',
    asyncStorageWrites: flag('async-storage-writes'),
    config: {
      preVote: flag('prevote'),
      checkQuorum: flag('checkquorum'),
      validateConfigChanges: !flag('disable-conf-change-validation'),
      stepDownOnRemoval: flag('step-down-on-removal'),
      ...limit('inflightMessagesMax', 'inflight'),
      ...limit('applyingBytesMax', 'max-committed-size-per-ready'),
      ...readMode(),
    },
  })

  function flag(key: string): boolean {
    return values(directive, key)[0] === 'true'
  }

  function limit(name: 'inflightMessagesMax' | 'applyingBytesMax', key: string): Partial<RaftConfig> {
    const [value] = numbers(key)
    return value === undefined ? {} : { [name]: value }
  }

  function readMode(): Partial<RaftConfig> {
    const [mode] = values(directive, 'read-only')
    if (mode === undefined) return {}
    if (mode !== 'safe' && mode !== 'lease-based') throw new Error(`invalid read-only option "${mode}"`)
    return { readMode: mode === 'safe' ? 'safe' : 'lease' }
  }
}

function deliverMessages(env: Environment, directive: Directive): void {
  const recipients: Recipient[] = []
  for (const argument of directive.arguments) {
    if (argument.values.length === 0) recipients.push({ id: Number(argument.key), drop: false })
    if (argument.key !== 'drop') continue
    for (const value of argument.values) {
      const id = Number(value)
      if (recipients.some(recipient => recipient.id === id)) {
        throw new Error(`can't both deliver and drop msgs to ${id}`)
      }
      recipients.push({ id, drop: true })
    }
  }
  if (env.deliver(recipients, values(directive, 'type')[0]) === 0) env.print('no messages')
}

function proposeConfigChange(env: Environment, directive: Directive): void {
  let v1 = false
  let transition: ConfigChange['transition'] = 'auto'
  for (const argument of directive.arguments) {
    for (const value of argument.values) {
      if (argument.key === 'v1') v1 = value === 'true'
      else if (argument.key === 'transition') transition = transitionOf(value)
      else throw new Error(`unknown command ${argument.key}`)
    }
  }
  const steps = parseSteps(directive.input)
  if (v1 && (steps.length > 1 || transition !== 'auto')) {
    throw new Error('v1 conf change can only have one operation and no transition')
  }
  const result = first(env, directive).proposeChange({ steps, transition }, v1)
  if (result.type === 'dropped') throw new Error('raft proposal dropped')
}

function transitionOf(value: string): ConfigChange['transition'] {
  if (value === 'auto' || value === 'implicit' || value === 'explicit') return value
  throw new Error(`unknown transition ${value}`)
}

function sendSnapshot(env: Environment, directive: Directive): void {
  const [from, to] = positional(directive).map(Number) as [number, number]
  const { group, log } = env.node(from)
  if (log.newestSnapshot === undefined) throw new Error(`node ${from} has no snapshot`)
  const message = { type: 'snapshot', from, to, term: group.status().term, snapshot: log.newestSnapshot } as const
  env.send(message)
  env.print(formatMessage(message))
}

function printLog(env: Environment, node: ScriptedNode): void {
  const { entries, firstIndex, lastIndex } = node.log
  if (entries.length === 0) env.print(`log is empty: first index=${firstIndex}, last index=${lastIndex}`)
  else for (const entry of entries) env.print(formatEntry(entry))
}

function stateLine(node: ScriptedNode): string {
  const { id, role, term, leader, configuration } = node.group.status()
  const voter = configuration.voters.includes(id) || configuration.votersOutgoing.includes(id)
  return `${id}: ${formatRole(role)} (${voter ? 'Voter' : 'Non-Voter'}) Term:${term} Lead:${leader}`
}
