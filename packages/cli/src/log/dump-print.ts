/** What `millrace log dump` shows: one line per entry, for people or as JSON. Waits for the reader of its output. */
import type { DumpedFrame, DumpItem, DumpOptions } from '@millrace/log-store/offline'
import type { Terminal } from '../terminal/terminal.ts'

const CHUNK_CHARACTERS = 65_536
/** The last moment that a date can be. */
const DATE_MS_MAX = 8.64e15

export interface DumpForm {
  /** Segments and rounds too. */
  readonly rounds: boolean
  readonly json: boolean
}

/** @returns whether nothing that was met is damaged */
export async function printDump(
  terminal: Terminal,
  dir: string,
  options: DumpOptions,
  { rounds, json }: DumpForm,
): Promise<boolean> {
  // Loaded only here: the other commands start without it.
  const { dumpLog } = await import('@millrace/log-store/offline')
  let isWhole = true
  let chunk = json ? '' : `${TITLES}\n`
  for await (const item of dumpLog(dir, options)) {
    if (item.type === 'damage') isWhole = false
    if ((item.type === 'segment' || item.type === 'round') && !rounds) continue
    const line = json ? JSON.stringify(itemJson(item)) : itemLine(item)
    if (!json && (item.type === 'damage' || item.type === 'repaired' || item.type === 'incomplete')) terminal.note(line)
    else chunk += `${line}\n`
    if (chunk.length < CHUNK_CHARACTERS) continue
    await terminal.write(chunk)
    chunk = ''
  }
  await terminal.write(chunk)
  return isWhole
}

const COLUMNS: readonly (readonly [title: string, width: number, cell: (frame: DumpedFrame) => string])[] = [
  ['group', 6, ({ header }) => String(header.group)],
  ['index', 10, ({ header }) => String(header.index)],
  ['term', 5, ({ header }) => String(header.term)],
  ['offsets', 17, offsets],
  ['kind', -13, ({ kind }) => kind],
  ['time', -24, ({ header }) => time(header.timestamp)],
  ['payload', 8, ({ header }) => String(header.payloadLength)],
  ['crc', -8, ({ header }) => hex(header.payloadCrc)],
  ['chain', -8, ({ header }) => hex(header.chain)],
  ['position', 10, ({ position }) => String(position)],
  ['producer', -8, producer],
]

const TITLES = COLUMNS.map(([title, width]) => pad(title.toUpperCase(), width)).join(' ')

function itemLine(item: DumpItem): string {
  switch (item.type) {
    case 'frame':
      return COLUMNS.map(([, width, cell]) => pad(cell(item), width))
        .join(' ')
        .trimEnd()
    case 'segment': {
      const { base, generation, length } = item.header
      const limit = Number.isFinite(item.limit) ? `, up to entry ${item.limit}` : ''
      return `# segment ${item.file}: after entry ${base.index} (term ${base.term}), generation ${generation}${limit}; header of ${length} bytes`
    }
    case 'round': {
      const { number, position, framesLength, frameCount, term, vote, commit } = item.record
      return `# round ${number} at byte ${position}: ${frameCount} entries, ${framesLength} bytes; term ${term}, vote ${vote}, commit ${commit}`
    }
    case 'damage':
      return `damaged: ${item.file}, byte ${item.position}: ${item.what}`
    case 'repaired':
      return `damaged, repaired by a patch: ${item.file}, byte ${item.position}: ${item.what}`
    case 'incomplete':
      return `incomplete last round: ${item.file}, byte ${item.position}: ${item.what}`
  }
}

function itemJson(item: DumpItem): object {
  switch (item.type) {
    case 'frame': {
      const { type, file, position, bytes, kind, header } = item
      const { headerCrc, chain, payloadCrc, producerId, kind: _, ...rest } = header
      const crcs = { payloadCrc: hex(payloadCrc), chain: hex(chain), headerCrc: hex(headerCrc) }
      return { type, kind, ...rest, producerId: idText(producerId), ...crcs, file, position, bytes }
    }
    case 'segment': {
      const { type, file, header } = item
      const { salt, base, configurations, ...rest } = header
      // The last segment of a log goes on: null.
      const limit = Number.isFinite(item.limit) ? item.limit : null
      const from = { ...base, chain: hex(base.chain) }
      const indexes = configurations.map(frame => frame.header.index)
      return { type, file, limit, salt: bytesHex(salt), ...rest, base: from, configurations: indexes }
    }
    case 'round': {
      const { type, file, record } = item
      const chains = { chainBefore: hex(record.chainBefore), chainAfter: hex(record.chainAfter) }
      return { type, file, ...record, ...chains, salt: bytesHex(record.salt) }
    }
    case 'damage':
    case 'repaired':
    case 'incomplete':
      return item
  }
}

function pad(cell: string, width: number): string {
  return width < 0 ? cell.padEnd(-width) : cell.padStart(width)
}

/** The offsets that a frame takes, first to last. */
function offsets({ header }: DumpedFrame): string {
  const { baseOffset, recordCount } = header
  if (recordCount === 0) return '-'
  return recordCount === 1 ? String(baseOffset) : `${baseOffset}-${baseOffset + recordCount - 1}`
}

function producer({ header }: DumpedFrame): string {
  const id = idText(header.producerId)
  return id === null ? '-' : `${id}/${header.producerEpoch}/${header.sequence}`
}

function idText(id: Uint8Array): string | null {
  return id.every(byte => byte === 0) ? null : bytesHex(id)
}

function bytesHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0')
}

function time(ms: number): string {
  return ms <= DATE_MS_MAX ? new Date(ms).toISOString() : String(ms)
}
