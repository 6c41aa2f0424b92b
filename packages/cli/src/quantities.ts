/** Sizes, durations, counts and times as people write and read them. Parsing refuses what it does not know by name. */
import { CliError } from './cli-error.ts'
import { EXIT } from './exit-code.ts'

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** Bytes of `128MiB`, `1GB`, `4096`. */
export function parseSize(text: string): number {
  return parseQuantity(text, SIZE_UNITS, 'B', 'a size such as 128MiB')
}

/** Milliseconds of `7d`, `12h`, `500ms`; a bare number counts milliseconds. */
export function parseDuration(text: string): number {
  return parseQuantity(text, DURATION_UNITS, 'ms', 'a duration such as 7d or 12h')
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>, bare: string, wanted: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim())
  const factor = units[match?.[2] === '' ? bare : (match?.[2] ?? '')]
  if (match === null || factor === undefined)
    throw new CliError(`"${text}" is not ${wanted}; units: ${Object.keys(units).join(', ')}`, EXIT.usage)
  return Math.round(Number(match[1]) * factor)
}

/** A whole number within bounds, for option `name`. */
export function parseCount(text: string, name: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(count >= min && count <= max)) {
    const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} up` : `from ${min} to ${max}`
    throw new CliError(`${name}: "${text}" is not a whole number ${range}`, EXIT.usage)
  }
  return count
}

/** `14.2 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** `1,234,567` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** `7d`, `90m`, `1.5s`: the largest unit that keeps it short. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = DURATION_UNITS[unit] ?? 1
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`
  }
  return ms >= 1000 ? `${(ms / 1000).toFixed(1)}s` : `${Math.round(ms)}ms`
}
