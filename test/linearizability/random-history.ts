/**
 * Random histories of known truth, for tests of the checker: operations are carried out one after the other on real
 * registers, each at its moment, and then stretched around it until they overlap. So they are linearizable.
 */
import type { RegisterAction, RegisterOperation, RegisterValue } from './register-history.ts'

export interface RandomHistoryOptions {
  readonly operations: number
  readonly keys: number
  /** As many operations at a time, for one client each. */
  readonly clients: number
  /** Of writes and compare-and-sets, how many have an unknown outcome. */
  readonly unknownShare: number
}

/** Uniform in [0, 1), the same for the same seed (Marsaglia, "Xorshift RNGs", 2003). */
export function seededRandom(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** A linearizable history, in no order. */
export function randomHistory(options: RandomHistoryOptions, random: () => number): RegisterOperation[] {
  const registers = new Map<string, RegisterValue>()
  const freeFrom = new Array<number>(options.clients).fill(0)
  const history: RegisterOperation[] = []
  for (let i = 0; i < options.operations; i++) {
    const moment = (i + 1) * 10
    const client = Math.floor(random() * options.clients)
    const key = `k${Math.floor(random() * options.keys)}`
    // Not before the client's last operation is over; it may be over later than its moment.
    const calledAt = Math.max(freeFrom[client]!, moment - random() * 10 * options.clients)
    if (calledAt > moment) continue
    const returnedAt = moment + random() * 10 * options.clients
    freeFrom[client] = returnedAt
    const unknown = random() < options.unknownShare
    const held = registers.get(key) ?? null
    const action = randomAction(held, i, random)
    const lost = unknown && random() < 0.5
    if (!lost && (action.type === 'write' || (action.type === 'cas' && action.done))) registers.set(key, action.value)
    const known = !unknown || action.type === 'read'
    history.push({ key, action, calledAt, client: `c${client}`, ...(known && { returnedAt }) })
  }
  return shuffled(history, random)
}

function randomAction(held: RegisterValue, i: number, random: () => number): RegisterAction {
  const kind = random()
  if (kind < 0.5) return { type: 'read', value: held }
  if (kind < 0.55) return { type: 'write', value: null }
  if (kind < 0.75) return { type: 'write', value: `v${i}` }
  const expected = random() < 0.6 ? held : `v${Math.floor(random() * (i + 1))}`
  return { type: 'cas', expected, value: `v${i}`, done: expected === held }
}

/** In random order. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map(item => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
