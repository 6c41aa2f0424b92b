/**
 * What happened to each line, as the process that saw it wrote it down: the producer one entry per acknowledged line,
 * the consumer one per record it read. A ledger is a text file, one entry a line, so that a person can look at it too.
 * It keeps a digest of each line, not the line, and is flushed before the process that writes it ends.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'

/** One line, stored or read. */
export interface LedgerEntry {
  /** Number of the line, from 0; -1 where a record that was read carries none. */
  readonly sequence: number
  readonly partition: number
  readonly offset: number
  /** Of the record's bytes, see digestOf. */
  readonly digest: string
}

/** 64 bits of SHA-256 in hexadecimal: enough to notice any change of a line. */
export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}

export interface LedgerWriter {
  add(entry: LedgerEntry): void
  /** Resolves when everything is in the file. */
  close(): Promise<void>
}

export function writeLedger(file: string): LedgerWriter {
  const stream = createWriteStream(file)
  return {
    add({ sequence, partition, offset, digest }) {
      stream.write(`${sequence} ${partition} ${offset} ${digest}\n`)
    },
    async close() {
      stream.end()
      await once(stream, 'close')
    },
  }
}

/** All entries of a ledger file, in the order they were written. */
export async function readLedger(file: string): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = []
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [sequence, partition, offset, digest] = line.split(' ')
    if (digest === undefined) throw new Error(`${file}: "${line}" is not an entry of a ledger`)
    entries.push({ sequence: Number(sequence), partition: Number(partition), offset: Number(offset), digest })
  }
  return entries
}
