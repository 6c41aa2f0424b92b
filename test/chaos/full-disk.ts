/** A file system of a few megabytes fills up: appends stop at the reserve, or wait for space, and nothing is lost. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MountedFolder } from './machine.ts'
import { assertPromises } from './promises.ts'
import { failed, notRun, type Part, passed, type Verdict } from './verdict.ts'
import { type Acknowledged, NOTHING_ACKNOWLEDGED, WriterProcess } from './writer-process.ts'

const MIB = 1_048_576

async function onSmallDisk(run: (dir: string, ballast: string) => Promise<Verdict>): Promise<Verdict> {
  const disk = await MountedFolder.tmpfs(8 * MIB)
  if (typeof disk === 'string') return notRun(disk)
  await using folder = disk
  const ballast = join(folder.path, 'ballast')
  await writeFile(ballast, new Uint8Array(4 * MIB))
  return await run(join(folder.path, 'log'), ballast)
}

/** Appends are refused below the reserve; once there is space they are taken again. */
const reserve: Part = {
  name: 'full disk: appends stop at the reserve and go on when there is space',
  run: () =>
    onSmallDisk(async (dir, ballast) => {
      const writer = new WriterProcess({ dir, before: NOTHING_ACKNOWLEDGED, diskReserveBytes: 2.5 * MIB })
      try {
        await writer.said('refuses')
        await rm(ballast)
        await writer.said('accepts')
        await writer.advancedBy(50)
        if (writer.lines.some(line => /^(problem|fatal)/.test(line))) return failed(writer.lines.join('\n'))
      } finally {
        await writer.kill()
      }
      const { index } = await assertPromises(dir, writer.acknowledged)
      return passed(`${index} entries kept`)
    }),
}

/** Without a reserve writes run into ENOSPC: they wait, also over a kill and a start on the full disk. */
const noSpace: Part = {
  name: 'full disk: ENOSPC is waited out, also by a process that starts on the full disk',
  run: () =>
    onSmallDisk(async (dir, ballast) => {
      const promised = await stopOnFullDisk(dir)
      await restartOnFullDisk(dir, ballast, promised)
      return passed('no acknowledged entry lost')
    }),
}

async function stopOnFullDisk(dir: string): Promise<Acknowledged> {
  const writer = new WriterProcess({ dir, before: NOTHING_ACKNOWLEDGED })
  try {
    await writer.said('problem the disk is full')
  } finally {
    await writer.kill()
  }
  return writer.acknowledged
}

async function restartOnFullDisk(dir: string, ballast: string, before: Acknowledged): Promise<void> {
  const writer = new WriterProcess({ dir, before })
  try {
    await writer.said('problem the disk is full')
    await rm(ballast)
    await writer.said('open')
    await writer.advancedBy(50)
    const fatal = writer.lines.find(line => line.startsWith('fatal'))
    if (fatal !== undefined) throw new Error(fatal)
  } finally {
    await writer.kill()
  }
  await assertPromises(dir, writer.acknowledged)
}

export const FULL_DISK_PARTS: readonly Part[] = [reserve, noSpace]
