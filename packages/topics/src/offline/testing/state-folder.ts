/** A folder of checkpoints with all that a file of LMDB can hold: large values, removed groups, lists of free pages. */
import { openLmdbStateStore } from '../../lmdb-state-store.ts'
import type { StateStore } from '../../state-store.ts'

export const STATE_GROUPS: readonly number[] = [0, 1, 2, 3]

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** `rounds` of changes to every group; group 9 comes and goes. */
export async function writeRounds(store: StateStore, from: number, rounds: number): Promise<void> {
  for (let round = from; round < from + rounds; round++) {
    for (const group of STATE_GROUPS) {
      const full = store.load(group) === undefined
      const puts = Array.from({ length: 12 }, (_, at) => ({
        key: encode(`key-${(at * (round + 3)) % 41}-${at}`),
        value: encode(`${group}/${round}/`.repeat(at === 5 ? 700 + round : 1 + at)),
      }))
      await store.commit(group, { applied: { index: round + 1, term: 1 }, full, puts, deletes: [] })
    }
    const lost = { applied: { index: 1, term: 1 }, full: true, puts: [{ key: encode('x'), value: encode('y') }] }
    if (round % 3 === 0) await store.commit(9, { ...lost, deletes: [] })
    else await store.drop(9)
  }
}

export async function makeStateFolder(path: string): Promise<void> {
  const store = openLmdbStateStore(path)
  await writeRounds(store, 0, 11)
  await store.close()
}

/** Everything that the groups hold, and that they still take changes: what a flipped bit must not alter. */
export async function useStateFolder(path: string): Promise<string> {
  const store = openLmdbStateStore(path)
  const before = STATE_GROUPS.map(group => describe(store, group))
  await writeRounds(store, 11, 2)
  const after = STATE_GROUPS.map(group => describe(store, group))
  await store.close()
  return JSON.stringify([before, after])
}

function describe(store: StateStore, group: number): unknown {
  const stored = store.load(group)
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
  return [stored?.applied, stored?.entries.map(({ key, value }) => [text(key), text(value)])]
}
