/** The quorum/ scripts: the committed index and the result of a vote, with the cross-checks that they ask for. */
import { jointCommitted, jointVote, type VoterSets } from '../src/quorum/joint.ts'
import { majorityCommitted, majorityVote, type VoteResult } from '../src/quorum/majority.ts'
import type { Directive } from './data-driven.ts'

type Indexes = ReadonlyMap<number, number>

interface QuorumCase {
  readonly voters: readonly number[]
  readonly outgoing: readonly number[]
  readonly joint: boolean
  /** In the order of the ids; undefined where nothing is known. */
  readonly input: readonly (number | undefined)[]
}

export function runQuorum(directive: Directive): string {
  const parsed = parseCase(directive)
  const ids = [...new Set([...parsed.voters, ...parsed.outgoing])]
  if (ids.length !== parsed.input.length) {
    const sorted = [...ids].sort((a, b) => a - b).join(' ')
    return `error: mismatched input (explicit or _) for voters [${sorted}]: [${parsed.input.map(v => v ?? 0).join(' ')}]`
  }
  const known = new Map(ids.flatMap((id, i) => (parsed.input[i] === undefined ? [] : [[id, parsed.input[i]!]])))
  return directive.command === 'vote' ? runVote(parsed, known) : runCommitted(parsed, known)
}

function parseCase(directive: Directive): QuorumCase {
  const values = (key: string): readonly string[] => directive.arguments.find(arg => arg.key === key)?.values ?? []
  const jointArgument = directive.arguments.some(arg => arg.key === 'cfgj')
  const outgoing = values('cfgj')
  const numbers: Readonly<Record<string, number>> = { y: 2, n: 1 }
  const raw = directive.command === 'vote' ? values('votes') : values('idx')
  return {
    voters: [...new Set(values('cfg').map(Number))],
    outgoing: outgoing[0] === 'zero' ? [] : [...new Set(outgoing.map(Number))],
    joint: jointArgument,
    input: raw.map(value => (value === '_' ? undefined : (numbers[value] ?? Number(value)))),
  }
}

function runVote(parsed: QuorumCase, known: Indexes): string {
  const voteOf = (id: number): boolean | undefined => {
    const vote = known.get(id)
    return vote === undefined ? undefined : vote !== 1
  }
  if (!parsed.joint) return printVote(majorityVote(parsed.voters, voteOf))
  const result = jointVote({ voters: parsed.voters, votersOutgoing: parsed.outgoing }, voteOf)
  const swapped = jointVote({ voters: parsed.outgoing, votersOutgoing: parsed.voters }, voteOf)
  const lines = swapped === result ? [] : [`${printVote(swapped)} <-- via symmetry`]
  return [...lines, printVote(result)].join('\n')
}

function printVote(result: VoteResult): string {
  return { pending: 'VotePending', lost: 'VoteLost', won: 'VoteWon' }[result]
}

function runCommitted(parsed: QuorumCase, known: Indexes): string {
  const { voters, outgoing } = parsed
  if (!parsed.joint) return committedOfMajority(voters, known)
  const index = committedOf({ voters, votersOutgoing: outgoing }, known)
  const lines = checks(index, [['via symmetry', committedOf({ voters: outgoing, votersOutgoing: voters }, known)]])
  return `${describe([...new Set([...voters, ...outgoing])], known)}${[...lines, print(index)].join('\n')}`
}

function committedOfMajority(voters: readonly number[], known: Indexes): string {
  const index = majorityCommitted(voters, id => known.get(id))
  const lines = checks(index, [
    ['via alternative computation', committedByCounting(voters, known)],
    ['via zero-joint quorum', committedOf({ voters, votersOutgoing: [] }, known)],
    ['via self-joint quorum', committedOf({ voters, votersOutgoing: voters }, known)],
    ...overlays(voters, known, index),
  ])
  return `${describe(voters, known)}${[...lines, print(index)].join('\n')}`
}

/** An index below the committed one can be any lower without changing anything. */
function overlays(voters: readonly number[], known: Indexes, index: number): [string, number][] {
  return voters.flatMap((id): [string, number][] => {
    const own = known.get(id) ?? 0
    if (!(index > own && own > 0)) return []
    const lowered = (to: number): number => majorityCommitted(voters, other => (other === id ? to : known.get(other)))
    return [
      [`overlaying ${id}->${own}`, lowered(own - 1)],
      [`overlaying ${id}->0`, lowered(0)],
    ]
  })
}

function checks(index: number, others: readonly (readonly [string, number])[]): string[] {
  return others.filter(([, other]) => other !== index).map(([via, other]) => `${print(other)} <-- ${via}`)
}

function committedOf(sets: VoterSets, known: Indexes): number {
  return jointCommitted(sets, id => known.get(id))
}

/** The highest index that enough voters have reached, found by counting for each. */
function committedByCounting(voters: readonly number[], known: Indexes): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY
  const reached = (index: number): number => voters.filter(id => (known.get(id) ?? 0) >= index).length
  const candidates = voters.map(id => known.get(id) ?? 0)
  return Math.max(0, ...candidates.filter(index => reached(index) * 2 > voters.length))
}

function print(index: number): string {
  return index === Number.POSITIVE_INFINITY ? '∞' : String(index)
}

/** A bar per voter: the further its index, the longer; none where nothing is known. */
function describe(voters: readonly number[], known: Indexes): string {
  const count = voters.length
  if (count === 0) return '<empty majority quorum>'
  const rising = voters.map(id => known.get(id) ?? 0).sort((a, b) => a - b)
  const lines = [...voters]
    .sort((a, b) => a - b)
    .map(id => {
      const index = known.get(id)
      const shown = String(index ?? 0).padStart(5)
      const length = rising.indexOf(index ?? 0)
      const bar = index === undefined ? `?${' '.repeat(count)}` : `${'x'.repeat(length)}>${' '.repeat(count - length)}`
      return `${bar} ${shown}    (id=${id})\n`
    })
  return `${' '.repeat(count)}    idx\n${lines.join('')}`
}
