/**
 * The lines of the tour: those of a file, repeated from the top until there are enough. Each carries its number in
 * front, so that no two are alike and a reader can tell which one it has.
 */
import { readFileSync } from 'node:fs'
import { CliError } from '../cli-error.ts'
import { EXIT } from '../exit-code.ts'

export interface Corpus {
  /** Lines in the file. */
  readonly fileLines: number
  readonly length: number
  /** Bytes of line `sequence` as they are appended. */
  line(sequence: number): Buffer
}

/**
 * @throws CliError when the file cannot be read or has no line
 */
export function loadCorpus(file: string, linesMin: number): Corpus {
  const lines = splitLines(readInput(file))
  if (lines.length === 0) throw new CliError(`${file} has no lines`, EXIT.usage)
  return {
    fileLines: lines.length,
    length: Math.max(lines.length, linesMin),
    line: sequence => Buffer.concat([Buffer.from(`${sequence}\t`), lines[sequence % lines.length] ?? Buffer.of()]),
  }
}

/** The number in front of a line; -1 where there is none. */
export function sequenceOf(line: Uint8Array): number {
  const tab = line.indexOf(0x09)
  const digits = Buffer.from(line.buffer, line.byteOffset, Math.max(0, tab)).toString('latin1')
  return /^\d{1,15}$/.test(digits) ? Number(digits) : -1
}

function readInput(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CliError(`cannot read --input: ${reason}`, EXIT.usage, { cause: error })
  }
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start)
    lines.push(bytes.subarray(start, end === -1 ? bytes.length : end))
    start = end === -1 ? bytes.length : end + 1
  }
  return lines
}
