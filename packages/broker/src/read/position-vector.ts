/** A position in several partitions as text, `0:13,1:5,2:9`: the next offset of each. Event ids of SSE, and `from=`. */

export type PositionVector = ReadonlyMap<number, number>

export function formatPositions(positions: PositionVector): string {
  return [...positions]
    .toSorted(([a], [b]) => a - b)
    .map(([partition, offset]) => `${partition}:${offset}`)
    .join(',')
}

/** The positions, or undefined where the text is not a vector. */
export function parsePositions(text: string): PositionVector | undefined {
  const positions = new Map<number, number>()
  for (const part of text.split(',')) {
    const match = /^(\d{1,5}):(\d{1,16})$/.exec(part)
    if (match === null) return undefined
    const [partition, offset] = [Number(match[1]), Number(match[2])]
    if (positions.has(partition) || !Number.isSafeInteger(offset)) return undefined
    positions.set(partition, offset)
  }
  return positions
}
