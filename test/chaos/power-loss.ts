/** Power loss of a real file system: ext4 on a loop device is shut down without its journal, mounted anew and opened. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MountedFolder, troubleOf } from './machine.ts'
import { assertPromises } from './promises.ts'
import { notRun, type Part, passed } from './verdict.ts'
import { type Acknowledged, NOTHING_ACKNOWLEDGED, WriterProcess } from './writer-process.ts'

const IMAGE_BYTES = 128 * 1_048_576
const LOSSES = 8

export const POWER_LOSS_PARTS: readonly Part[] = [
  {
    name: `power loss, ${LOSSES} times: ext4 on a loop device is shut down while it is written to`,
    async run() {
      const trouble = troubleOf('python3', ['-c', 'import fcntl'])
      if (trouble !== null) return notRun(trouble)
      const made = await MountedFolder.ext4(IMAGE_BYTES)
      if (typeof made === 'string') return notRun(made)
      await using folder = made
      let promised = NOTHING_ACKNOWLEDGED
      let answeredLater = 0
      for (let loss = 1; loss <= LOSSES; loss++) {
        const { found, late } = await loseOnce(folder, promised, loss * 37)
        promised = found
        answeredLater += late
      }
      return passed(`${promised.index} entries kept; ${answeredLater} answered after power was lost do not count`)
    },
  },
]

interface Loss {
  /** What is there afterwards. */
  readonly found: Acknowledged
  /** Entries that were acknowledged while or after power was lost. */
  readonly late: number
}

async function loseOnce(folder: MountedFolder, before: Acknowledged, afterMs: number): Promise<Loss> {
  const dir = join(folder.path, 'log')
  const writer = new WriterProcess({ dir, before })
  let lostAtNs = 0
  try {
    await writer.advancedBy(30)
    await sleep(afterMs)
    lostAtNs = folder.losePower()
    await writer.ended()
  } finally {
    await writer.kill()
  }
  must(folder.unmount())
  must(folder.mount())
  const promised = writer.acknowledgedBefore(lostAtNs)
  return { found: await assertPromises(dir, promised), late: writer.acknowledged.index - promised.index }
}

function must(trouble: string | null): void {
  if (trouble !== null) throw new Error(trouble)
}
