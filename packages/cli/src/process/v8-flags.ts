/** Flags of V8 that are set while it runs. */
import { setFlagsFromString } from 'node:v8'

/** The V8 that has the flags: that of Node 24. Another one might not, and would complain on standard error. */
const V8_MAJOR = '13'

export function setV8Flags(...flags: readonly string[]): void {
  if (!process.versions.v8.startsWith(`${V8_MAJOR}.`)) return
  for (const flag of flags) setFlagsFromString(flag)
}
