/** What became of one part of a chaos run: it passed, it failed, or this machine does not allow it. */

export type Verdict =
  | { readonly kind: 'passed'; readonly detail: string }
  | { readonly kind: 'failed'; readonly detail: string }
  | { readonly kind: 'notRun'; readonly detail: string }

/** A part that can be asked for by name. */
export interface Part {
  readonly name: string
  run(): Promise<Verdict>
}

export function passed(detail: string): Verdict {
  return { kind: 'passed', detail }
}

export function failed(detail: string): Verdict {
  return { kind: 'failed', detail }
}

export function notRun(detail: string): Verdict {
  return { kind: 'notRun', detail }
}

/** Runs the parts in turn and prints each verdict as it comes; a part that throws has failed. */
export async function runParts(parts: readonly Part[]): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = []
  for (const part of parts) {
    const started = performance.now()
    const verdict = await verdictOf(part)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    const word = { passed: 'passed', failed: 'FAILED', notRun: 'not run' }[verdict.kind]
    process.stdout.write(`${word}  ${part.name} (${seconds} s): ${verdict.detail}\n`)
    verdicts.push(verdict)
  }
  return verdicts
}

async function verdictOf(part: Part): Promise<Verdict> {
  try {
    return await part.run()
  } catch (error) {
    return failed(causeOf(error))
  }
}

/** What went wrong first: cleaning up after it may have failed too, and must not hide it. */
function causeOf(error: unknown): string {
  if (error instanceof SuppressedError)
    return `${causeOf(error.suppressed)}\nthen, cleaning up: ${causeOf(error.error)}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
