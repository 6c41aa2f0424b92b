/** Where reading begins, as `--from` says it. */
import { CliError } from '../cli-error.ts'
import { EXIT } from '../exit-code.ts'
import { parseDuration } from '../quantities.ts'

/** What `--from` says; an offset needs a partition beside it. */
export type From = 'earliest' | 'latest' | { readonly offset: number } | { readonly time: Date }

/**
 * `earliest`, `latest`, an offset such as 1200, a time such as 2026-11-21T08:00:00Z, or an age such as 90m.
 *
 * @param now for ages
 * @throws CliError with the forms that are allowed
 */
export function parseFrom(text: string, now: Date = new Date()): From {
  if (text === 'earliest' || text === 'latest') return text
  if (/^\d+$/.test(text)) {
    const offset = Number(text)
    if (Number.isSafeInteger(offset)) return { offset }
  } else if (/^\d+(\.\d+)?(ms|s|m|h|d|w)$/.test(text)) {
    return { time: new Date(now.getTime() - parseDuration(text)) }
  } else if (/^\d{4}-\d\d-\d\d([T ]|$)/.test(text)) {
    const time = new Date(text)
    if (!Number.isNaN(time.getTime())) return { time }
  }
  const forms = 'earliest, latest, an offset, a time such as 2026-11-21T08:00:00Z or an age such as 90m'
  throw new CliError(`--from: "${text}" is none of ${forms}`, EXIT.usage)
}
