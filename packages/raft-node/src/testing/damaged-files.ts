/** Damage to the files of a log store, in place. */
import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeFrameHeader, frameBytes } from '@millrace/record'

const ALIGNMENT = 8

/**
 * Flips one bit in the payload of each of these entries, in whatever segment has it.
 *
 * @throws Error where no segment has one of them
 */
export async function damageEntries(dir: string, group: number, indexes: readonly number[]): Promise<void> {
  const left = new Set(indexes)
  const folder = join(dir, 'groups', String(group))
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.log')) continue
    const path = join(folder, name)
    const bytes = await readFile(path)
    for (let at = 0; at + frameBytes(0) <= bytes.length; at += ALIGNMENT) {
      const header = decodeFrameHeader(bytes, at)
      if (typeof header === 'string' || header.group !== group || !left.delete(header.index)) continue
      await flip(path, at + frameBytes(0), bytes)
    }
  }
  if (left.size > 0) throw new Error(`no segment in ${folder} has the entries ${[...left].join(', ')}`)
}

async function flip(path: string, position: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.write(Uint8Array.of(bytes[position]! ^ 1), 0, 1, position)
  } finally {
    await file.close()
  }
}
