/**
 * Reads bounds out of the sources: constants and options with `Max` in their names, and times, with file and value. As text, because
 * most of them are nobody's export. Knows three forms, which are all there are:
 *
 *     const QUEUE_BYTES_MAX = 64 * 1024 * 1024
 *     recordBytesMax: 1_048_576,
 *     options.openFilesMax ?? 128
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LIMITS } from '../../packages/record/src/limits.ts'

export interface Bound {
  readonly package: string
  readonly name: string
  /** Below the package's `src`. */
  readonly file: string
  readonly value: number
}

const PACKAGES = join(import.meta.dirname, '../../packages')
const FORMS: readonly RegExp[] = [
  /^(?:export )?const ([A-Z0-9_]*_MAX(?:_[A-Z]+)?|MAX_[A-Z_]+)(?:: number)? = (.+)$/gm,
  /^ {2}(\w+Max(?:Ms)?|\w+Remembered\w+): (.+),$/gm,
  /options\.(\w+Max(?:Ms)?) \?\? ([^,)\n]+)/g,
]

const WAIT = /^(?:export )?const ([A-Z0-9_]*MS(?:_MIN)?|[A-Z0-9_]*_MIN_MS)(?:: number)? = (.+)$/gm

/** Every bound of a package's product code. */
export const boundsOf = (name: string): readonly Bound[] => found(name, FORMS)

/** Every time in a constant that is no bound: `const PATIENCE_MS = 15_000`. */
export const waitsOf = (name: string): readonly Bound[] => found(name, [WAIT])

function found(name: string, forms: readonly RegExp[]): readonly Bound[] {
  const folder = join(PACKAGES, name, 'src')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(isProduct).sort()
  return files.flatMap(file => {
    const text = readFileSync(join(folder, file), 'utf8')
    return forms
      .flatMap(form => [...text.matchAll(form)])
      .map(([, bound, value]) => ({ package: name, name: bound!, file, value: numberOf(value!) }))
      .filter(bound => !Number.isNaN(bound.value))
  })
}

function isProduct(file: string): boolean {
  return file.endsWith('.ts') && !file.endsWith('.test.ts') && !/(^|\/)testing\//.test(file)
}

/** Of an expression of numbers; NaN where it is of something else, and so no bound of its own. */
function numberOf(expression: string): number {
  const known = { LIMITS, MIB: 2 ** 20, MiB: 2 ** 20, DAY_MS: 86_400_000 }
  if (!/^(?:[\d_.\s()*+-]|0x[\da-f_]+|e\d|Math\.ceil|LIMITS\.\w+|MIB|MiB|DAY_MS)+$/.test(expression)) return Number.NaN
  return Number(new Function(...Object.keys(known), `return ${expression}`)(...Object.values(known)))
}
