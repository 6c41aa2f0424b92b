/** What a topic may be called. The rule keeps names usable as they are in URLs, file names, shells and metrics. */
import { MillraceError } from './errors.ts'
import { LIMITS } from './limits.ts'

const TOPIC_NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]*$/

/** The naming rule, for messages and help. */
export const TOPIC_NAME_RULE: string = `1 to ${LIMITS.topicNameBytesMax} of the characters a–z A–Z 0–9 . _ - and a letter or digit first`

/**
 * Checks a topic name: 1 to `LIMITS.topicNameBytesMax` of `a–z A–Z 0–9 . _ -`, a letter or digit first. Names are case
 * sensitive.
 *
 * @throws INVALID_NAME naming the name and the rule
 */
export function validateTopicName(name: string): void {
  if (name.length <= LIMITS.topicNameBytesMax && TOPIC_NAME.test(name)) return
  const shown = name.length > 140 ? `${name.slice(0, 140)}…` : name
  throw new MillraceError('INVALID_NAME', `topic name ${JSON.stringify(shown)}: must be ${TOPIC_NAME_RULE}`, {
    details: { name: shown, rule: TOPIC_NAME_RULE },
  })
}
