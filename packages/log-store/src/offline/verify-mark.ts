/** Checks both copies of the mark. One damaged copy costs what the other does not know; it is damage all the same. */
import { readWhole } from '../disk.ts'
import { Magic, openStructure } from '../format.ts'
import { decodeMark, type Mark } from '../mark-file.ts'
import type { VerifyContext } from './verify-context.ts'

const NAMES = ['mark-a', 'mark-b'] as const
const HEADER_BYTES = 64

/** @returns the newer whole copy, or null where there is none */
export async function verifyMark({ disk, logDir, findings }: VerifyContext): Promise<Mark | null> {
  let newest: Mark | null = null
  for (const name of NAMES) {
    const path = `${logDir}/${name}`
    const bytes = await readWhole(disk, path)
    if (bytes === null) {
      findings.damaged(path, 0, 'the file is missing; the other copy stands in')
      continue
    }
    // The copies take turns: the second file is empty until the second mark.
    if (bytes.length === 0) continue
    const mark = decodeMark(bytes)
    if (mark === null) {
      const { position, what } = faultOf(bytes)
      findings.damaged(
        path,
        position,
        `${what}. The other copy stands in; a crash while this one was written does this`,
      )
    } else if (newest === null || mark.sequence > newest.sequence) {
      newest = mark
    }
  }
  return newest
}

function faultOf(bytes: Uint8Array): { readonly position: number; readonly what: string } {
  const header = openStructure(bytes.subarray(0, HEADER_BYTES), HEADER_BYTES, Magic.mark)
  if (typeof header === 'string') return { position: 0, what: `header of the mark: ${header}` }
  return { position: HEADER_BYTES, what: 'entries of the mark: checksum' }
}
