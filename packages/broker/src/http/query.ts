/** Paths and queries, decoded strictly: broken percent-encoding or UTF-8 is an error, never a replacement character. */
import { MillraceError } from '@millrace/record'
import { nearestName } from '../config/nearest-name.ts'

/** The path without its query, and the query's text. */
export function splitUrl(url: string): { readonly path: string; readonly query: string } {
  const mark = url.indexOf('?')
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) }
}

/** One segment of a path. @throws MillraceError INVALID_NAME */
export function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (error) {
    throw new MillraceError('INVALID_NAME', `topic name ${segment}: is not percent-encoded UTF-8`, { cause: error })
  }
}

export type Query = Readonly<Record<string, string>>

/**
 * The parameters of a query. One without a value has the value `''`.
 *
 * @param known every name the route takes
 * @throws MillraceError INVALID_ARGUMENT for an unknown, repeated or undecodable parameter
 */
export function parseQuery(text: string, known: readonly string[]): Query {
  const query: Record<string, string> = {}
  for (const part of text.split('&')) {
    if (part === '') continue
    const mark = part.indexOf('=')
    const name = decodeParameter(mark < 0 ? part : part.slice(0, mark))
    const value = mark < 0 ? '' : decodeParameter(part.slice(mark + 1))
    if (!known.includes(name)) throw unknownParameter(name, known)
    if (Object.hasOwn(query, name)) throw new MillraceError('INVALID_ARGUMENT', `parameter ${name}: comes twice`)
    query[name] = value
  }
  return query
}

function decodeParameter(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', '%20'))
  } catch (error) {
    throw new MillraceError('INVALID_ARGUMENT', `query ${text}: is not percent-encoded UTF-8`, { cause: error })
  }
}

function unknownParameter(name: string, known: readonly string[]): MillraceError {
  const nearest = nearestName(name, known)
  const hint = nearest === undefined ? `known are ${known.join(', ') || 'none'}` : `did you mean ${nearest}?`
  return new MillraceError('INVALID_ARGUMENT', `unknown parameter ${JSON.stringify(name)}: ${hint}`)
}

/** A whole number from 0 to 2^53 − 1, or undefined where the parameter is absent. @throws INVALID_ARGUMENT */
export function numberParameter(query: Query, name: string): number | undefined {
  const text = query[name]
  if (text === undefined) return undefined
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(value)) return value
  throw new MillraceError('INVALID_ARGUMENT', `parameter ${name}: ${JSON.stringify(text)} is not a whole number`)
}

/** `live`, `live=true`, `live=1` are true; `false` and `0` false. @throws INVALID_ARGUMENT */
export function booleanParameter(query: Query, name: string): boolean {
  const text = query[name]
  if (text === undefined || text === 'false' || text === '0') return false
  if (text === '' || text === 'true' || text === '1') return true
  throw new MillraceError('INVALID_ARGUMENT', `parameter ${name}: ${JSON.stringify(text)} is neither true nor false`)
}
