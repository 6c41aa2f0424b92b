/** Turns the bytes of a record on the command line into what is appended: value, key and content type. */
import { CliError } from '../cli-error.ts'
import { EXIT } from '../exit-code.ts'

export interface InputRecord {
  readonly value: Uint8Array
  readonly key?: string
}

export type ParseRecord = (bytes: Uint8Array, number: number) => InputRecord | undefined

/** Every record as it is. */
export const plainRecord: ParseRecord = value => ({ value })

/**
 * Records that must be JSON. Blank ones are left out; the bytes of the others stay as they are.
 *
 * @param keyPath where the key is, as `.user.id`: a string, number or boolean
 * @throws CliError from the returned function, naming the number of the record
 */
export function jsonRecord(keyPath: string | undefined): ParseRecord {
  const path = keyPath === undefined ? undefined : parseKeyPath(keyPath)
  return (value, number) => {
    const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
    if (text.trim() === '') return undefined
    const json = parseJson(text, number)
    return path === undefined ? { value } : { value, key: keyOf(json, path, number) }
  }
}

/** Field names of `.user.id`. */
function parseKeyPath(path: string): readonly string[] {
  if (!/^(\.[^.\s]+)+$/.test(path))
    throw new CliError(`--key: "${path}" is not a path to a field such as .user.id`, EXIT.usage)
  return path.slice(1).split('.')
}

function parseJson(text: string, number: number): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CliError(`record ${number} of the input is not JSON: ${reason}`, EXIT.usage, { cause: error })
  }
}

function keyOf(json: unknown, path: readonly string[], number: number): string {
  let at = json
  for (const field of path) {
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, field) ? Reflect.get(at, field) : undefined
  }
  if (typeof at === 'string' || typeof at === 'number' || typeof at === 'boolean') return String(at)
  const found = at === undefined ? 'is missing' : 'is no string, number or boolean'
  throw new CliError(`record ${number} of the input: the key .${path.join('.')} ${found}`, EXIT.usage)
}
