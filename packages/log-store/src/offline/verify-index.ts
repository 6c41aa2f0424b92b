/**
 * Checks an index file against a scan of its segment: what is in it must be the beginning of what the scan would write.
 * A file that is missing or shorter loses nothing, since indexes are written now and then and scanned for otherwise.
 */
import { isDeepStrictEqual } from 'node:util'
import { readWhole } from '../disk.ts'
import { indexFileName } from '../segment-header.ts'
import { type IndexOwner, SegmentIndex } from '../segment-index.ts'
import type { SegmentScan } from '../segment-scanner.ts'
import type { VerifyContext } from './verify-context.ts'

const HEADER_BYTES = 64
const ENTRY_BYTES = 64
const HARMLESS = 'The log is whole without it: delete the file and it is written anew'

/** Entries after the first place of the segment that is not whole are not judged. */
export async function verifyIndex(
  { disk, findings }: VerifyContext,
  folder: string,
  owner: IndexOwner,
  scan: SegmentScan,
): Promise<void> {
  const path = `${folder}/${indexFileName(owner)}`
  const bytes = await readWhole(disk, path)
  if (bytes === null) return findings.note(path, 'there is no index file; it is written when it is needed')
  findings.counts.indexFiles++
  const index = await SegmentIndex.load(disk, folder, owner, Number.POSITIVE_INFINITY)
  const firstGap = scan.gaps[0]?.before.index ?? Number.POSITIVE_INFINITY
  if (index === null && firstGap === owner.base)
    return findings.note(path, 'it is not used: it does not begin with the first entry, which is damaged')
  if (index === null) return findings.damaged(path, 0, `it is not the index of this segment. ${HARMLESS}`)
  const entries = Math.floor((bytes.length - HEADER_BYTES) / ENTRY_BYTES)
  for (let at = 0; at < entries; at++) {
    const said = index.entries[at]
    const found = scan.index.entries[at]
    if ((found === undefined && scan.stop.kind !== 'end') || (said?.index ?? found?.index ?? 0) > firstGap) return
    const position = HEADER_BYTES + at * ENTRY_BYTES
    if (said === undefined) return findings.damaged(path, position, `index entry: checksum or order. ${HARMLESS}`)
    if (!isDeepStrictEqual(said, found)) {
      const what = `the index entry of entry ${said.index} is not what the segment says`
      return findings.damaged(path, position, `${what}. ${HARMLESS}`)
    }
  }
  if (HEADER_BYTES + entries * ENTRY_BYTES < bytes.length) findings.note(path, 'it ends inside an index entry')
}
