/**
 * Reads scripted test files: a directive line, input lines, `----`, expected output up to a blank line. Output that has
 * blank lines of its own stands between doubled `----` lines. Lines with `#` between directives are comments.
 */

export interface Argument {
  readonly key: string
  /** `key`: none; `key=a`: one; `key=(a,b)`: several, perhaps none. */
  readonly values: readonly string[]
}

export interface Directive {
  /** Line in the file, from 1. */
  readonly line: number
  readonly command: string
  readonly arguments: readonly Argument[]
  readonly input: string
  readonly expected: string
}

const SEPARATOR = '----'

export function parseFile(text: string): Directive[] {
  const lines = text.split('\n')
  const directives: Directive[] = []
  let at = 0
  while (at < lines.length) {
    const head = lines[at]!.trim()
    if (head === '' || head.startsWith('#')) {
      at++
      continue
    }
    const line = at + 1
    let command = head
    while (command.endsWith('\\')) command = `${command.slice(0, -1).trim()} ${lines[++at]?.trim() ?? ''}`
    at++
    const input: string[] = []
    while (at < lines.length && lines[at] !== SEPARATOR) input.push(lines[at++]!)
    if (at >= lines.length) throw new Error(`line ${line}: the directive has no "${SEPARATOR}" line`)
    const output = readOutput(lines, at + 1)
    at = output.next
    directives.push({ line, ...parseCommand(command, line), input: input.join('\n'), expected: output.text })
  }
  return directives
}

function readOutput(lines: readonly string[], start: number): { text: string; next: number } {
  const output: string[] = []
  let at = start
  if (lines[at] === SEPARATOR) {
    at++
    while (at < lines.length && !(lines[at] === SEPARATOR && lines[at + 1] === SEPARATOR)) output.push(lines[at++]!)
    return { text: output.join('\n'), next: at + 2 }
  }
  while (at < lines.length && lines[at]!.trim() !== '') output.push(lines[at++]!)
  return { text: output.join('\n'), next: at }
}

const ARGUMENT = /\s*([^\s=()]+)(=\s*(?:\(([^)]*)\)|([^\s()]*)))?/y

function parseCommand(text: string, line: number): { command: string; arguments: Argument[] } {
  const parsed: Argument[] = []
  ARGUMENT.lastIndex = 0
  while (ARGUMENT.lastIndex < text.trimEnd().length) {
    const at = ARGUMENT.lastIndex
    const match = ARGUMENT.exec(text)
    if (match === null) throw new Error(`line ${line}: cannot read "${text.slice(at)}"`)
    const [, key, assigned, list, single] = match
    let values: string[] = []
    if (list !== undefined) values = list.trim() === '' ? [] : list.split(',').map(value => value.trim())
    else if (assigned !== undefined) values = [single ?? '']
    parsed.push({ key: key!, values })
  }
  const [command, ...rest] = parsed
  return { command: command?.key ?? '', arguments: rest }
}
