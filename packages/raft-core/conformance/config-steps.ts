/** `v3 l4 r5 u6`: make voter, make learner, remove, update. */
import type { ConfigChangeKind, ConfigChangeStep } from '../src/index.ts'

const KINDS: Readonly<Record<string, ConfigChangeKind>> = { v: 'addVoter', l: 'addLearner', r: 'remove', u: 'update' }

/** @throws Error with the message that the scripts expect */
export function parseSteps(text: string): ConfigChangeStep[] {
  const trimmed = text.trim()
  if (trimmed === '') return []
  return trimmed.split(/\s+/).map(token => {
    if (token.length < 2) throw new Error(`unknown token ${token}`)
    const kind = KINDS[token[0]!]
    if (kind === undefined) throw new Error(`unknown input: ${token}`)
    const id = Number(token.slice(1))
    if (!Number.isSafeInteger(id) || id < 0) {
      throw new Error(`strconv.ParseUint: parsing "${token.slice(1)}": invalid syntax`)
    }
    return { kind, id }
  })
}
