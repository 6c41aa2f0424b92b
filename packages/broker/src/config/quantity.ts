/** Sizes and durations as people write them: `128MiB`, `7d`. A plain number is bytes or milliseconds. */

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1_000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  TB: 1_000_000_000_000,
  KiB: 1_024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
  TiB: 1_099_511_627_776,
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Bytes, or undefined where the text is not a size. */
export function parseSize(text: string | number): number | undefined {
  return parse(text, SIZE_UNITS)
}

/** Milliseconds, or undefined where the text is not a duration. */
export function parseDuration(text: string | number): number | undefined {
  return parse(text, DURATION_UNITS)
}

/** The shortest exact spelling: 134217728 is `128MiB`. */
export function formatSize(bytes: number): string {
  return format(bytes, ['TiB', 'GiB', 'MiB', 'KiB'], SIZE_UNITS, 'B')
}

/** The shortest exact spelling: 604800000 is `7d`. */
export function formatDuration(ms: number): string {
  return format(ms, ['d', 'h', 'm', 's'], DURATION_UNITS, 'ms')
}

export const SIZE_RULE: string = `a size such as 512KiB, 128MiB or 2GiB (units ${Object.keys(SIZE_UNITS).join(', ')})`
export const DURATION_RULE: string = `a duration such as 150ms, 10s or 7d (units ${Object.keys(DURATION_UNITS).join(', ')})`

function parse(text: string | number, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(String(text).trim())
  if (match === null) return undefined
  const unit = match[2] === '' ? 1 : Object.hasOwn(units, match[2]!) ? units[match[2]!]! : undefined
  if (unit === undefined) return undefined
  const value = Number(match[1]) * unit
  return Number.isSafeInteger(value) ? value : undefined
}

function format(
  value: number,
  order: readonly string[],
  units: Readonly<Record<string, number>>,
  rest: string,
): string {
  for (const unit of order) {
    if (value > 0 && value % units[unit]! === 0) return `${value / units[unit]!}${unit}`
  }
  return `${value}${rest}`
}
