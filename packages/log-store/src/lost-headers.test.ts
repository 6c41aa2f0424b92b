/** Segments whose headers are damaged: a hole where both of its ends are known from elsewhere, else refused. */
import { describe, expect, test } from 'vitest'
import { LogDamaged, type LogStore } from './log-store.ts'
import { FaultDisk, openOn, seededRandom, TestLog, testBase, written } from './testing/index.ts'
import { FOLDER, GROUP } from './testing/sample-log.ts'

function segmentsOf(disk: FaultDisk): string[] {
  return disk
    .files()
    .filter(path => path.startsWith(FOLDER) && path.endsWith('.log'))
    .toSorted()
}

describe('segment headers that cannot be read', () => {
  /** Four segments of one round each, some with damage at these bytes. */
  async function reopened(hurt: Readonly<Record<number, number>>): Promise<LogStore> {
    const disk = new FaultDisk(seededRandom(8))
    const store = await openOn(disk)
    const log = await store.create(GROUP, { replicaId: 9, base: testBase() })
    const source = new TestLog(GROUP, log.base)
    for (let round = 0; round < 4; round++)
      await written(log, { frames: source.append(3, { payload: new Uint8Array(900) }) })
    await store.close()
    for (const [at, path] of segmentsOf(disk).entries()) {
      const bytes = Uint8Array.from(disk.contentOf(path))
      const position = hurt[at]
      if (position !== undefined) bytes[position]! ^= 1
      disk.replace(path, bytes)
    }
    expect(segmentsOf(disk)).toHaveLength(4)
    return openOn(disk)
  }
  const HEADER = 40
  const LAST_FRAME = 3_000

  test.each([0, 1, 2])('segment %i of four: a hole from its base to that of the next', async at => {
    const [log] = (await reopened({ [at]: HEADER })).groups()
    expect(log!.holes).toMatchObject([{ before: { index: 1 + 3 * at }, last: { index: 4 + 3 * at } }])
    await expect(log!.read(2 + 3 * at, 13, 10_000)).rejects.toBeInstanceOf(LogDamaged)
  })

  test.each([
    ['the newest', { 3: HEADER }],
    ['two in a row', { 1: HEADER, 2: HEADER }],
    ['one after a segment whose last entry cannot be read', { 1: LAST_FRAME, 2: HEADER }],
  ])('%s: the ends of what is missing are unknown, refused', async (_, hurt) => {
    const store = await reopened(hurt)
    expect(store.groups()).toEqual([])
    expect(store.refused()).toMatchObject([{ group: GROUP, reason: { code: 'DAMAGED' } }])
    expect(store.refused()[0]!.reason.message).toContain('its header is unreadable: checksum')
  })
})
