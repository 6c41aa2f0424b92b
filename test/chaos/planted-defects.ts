/**
 * Defects that other logs had, each planted into a copy of the sources. The exploration must find every one of them; a
 * defect that can no longer be planted, because the source has changed, is a failure too.
 */
import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exploreInThread } from './exploration.ts'
import { failed, type Part, passed } from './verdict.ts'

interface Defect {
  readonly name: string
  /** In the sources of log-store. */
  readonly file: string
  /** What stands there, exactly once. */
  readonly sound: string
  readonly defective: string
}

const DEFECTS: readonly Defect[] = [
  {
    name: 'a new segment is acknowledged without an fsync of its folder',
    file: 'new-segment.ts',
    sound: 'return faults.sync(folder, () => disk.syncFolder(folder))',
    defective: 'return true',
  },
  {
    name: 'the log is cut at a bad checksum',
    file: 'segment-scanner.ts',
    sound: "return { kind: 'damaged', position, detail, nextRecord: at }",
    defective: "return { kind: 'incomplete', position, detail }",
  },
  {
    name: 'frames that join a hole on one side only are taken for it',
    file: 'frame-sequence.ts',
    sound: 'return isSamePosition(at, upTo) && upTo.index <= hole.last.index',
    defective: 'return at.index === upTo.index',
  },
  {
    name: 'a read goes past a hole without a word',
    file: 'segment-reader.ts',
    sound:
      'if (gap === undefined || (entry !== undefined && entry.index > gap.last.index)) return leadsPast ? undefined : entry',
    defective: 'if (gap === undefined || (entry !== undefined && entry.index > gap.last.index)) return entry',
  },
  {
    name: 'a round is acknowledged before its fdatasync',
    file: 'log-writer.ts',
    sound: "disk.open(segment.path, 'writeThrough')",
    defective: "disk.open(segment.path, 'write')",
  },
  {
    name: 'space is prepared behind a round by a write that nobody waits for',
    file: 'log-writer.ts',
    sound: 'await file.writev([...round.buffers, zeroes], segment.end)',
    defective: 'await file.writev(round.buffers, segment.end); void file.writev([zeroes], round.end)',
  },
  {
    name: 'a segment has the salt of the one that it is written over',
    file: 'log-writer.ts',
    sound: 'random(salt)',
    defective: 'salt.fill(1)',
  },
  {
    name: 'only one copy of a vote is written',
    file: 'vote-file.ts',
    sound: 'for (const copy of [0, 1])',
    defective: 'for (const copy of [0])',
  },
  {
    name: 'the end of the log is trusted after a kill without being made durable again',
    file: 'recovery.ts',
    sound: "const rewrites = verdict === 'rewriteLastRound' && end.index > base.index",
    defective: 'const rewrites = false',
  },
]

const PACKAGE: string = new URL('../../packages/log-store', import.meta.url).pathname
const SEEDS: readonly number[] = [1, 2, 3, 4]

/** What keeps defects from being planted: nothing, unless a source has changed. */
export function defectMisfits(): readonly string[] {
  return DEFECTS.flatMap(({ name, file, sound }) => {
    const places = placesOf(sound, readFileSync(join(PACKAGE, 'src', file), 'utf8'))
    return places === 1 ? [] : [`${name}: ${file} has its place ${places} times`]
  })
}

function placesOf(text: string, source: string): number {
  return source.split(text).length - 1
}

export const DEFECT_PARTS: readonly Part[] = DEFECTS.map(defect => ({
  name: `planted defect: ${defect.name}`,
  async run() {
    const copy = await mkdtemp(join(tmpdir(), 'millrace-defect-'))
    try {
      const sources = await copySources(copy)
      const path = join(sources, defect.file)
      const sound = await readFile(path, 'utf8')
      const places = placesOf(defect.sound, sound)
      if (places !== 1) return failed(`it cannot be planted: ${defect.file} has its place ${places} times`)
      await writeFile(
        path,
        sound.replace(defect.sound, () => defect.defective),
      )
      const { violation, crashStates } = await exploreInThread({ sources, seeds: SEEDS, damagesPerSeed: 500 })
      return violation === undefined
        ? failed(`not found in ${crashStates} crash states`)
        : passed(`found: ${violation}`)
    } finally {
      await rm(copy, { recursive: true })
    }
  },
}))

async function copySources(folder: string): Promise<string> {
  const sources = join(folder, 'src')
  await mkdir(sources)
  await cp(join(PACKAGE, 'src'), sources, { recursive: true })
  await cp(join(PACKAGE, 'package.json'), join(folder, 'package.json'))
  await symlink(join(PACKAGE, 'node_modules'), join(folder, 'node_modules'))
  return sources
}
