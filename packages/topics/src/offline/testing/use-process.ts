/**
 * Uses state folders with the library, in a process that may end of it. `use`: one path per message, one answer per path.
 * `write PATH ROUND`: changes after changes, each told, until it is killed.
 */
import { openLmdbStateStore } from '../../lmdb-state-store.ts'
import { useStateFolder, writeRounds } from './state-folder.ts'

export type UseTask = readonly ['use'] | readonly ['write', path: string, round: string]

const [task, path = '', firstRound = '0'] = process.argv.slice(2)

process.on('disconnect', () => process.exit(0))
if (task === 'use') {
  process.on('message', async (folder: string) => {
    const answer = await useStateFolder(folder).catch((error: unknown) => `refused: ${String(error)}`)
    process.send?.(answer)
  })
} else {
  const store = openLmdbStateStore(path)
  for (let round = Number(firstRound); ; round++) {
    await writeRounds(store, round, 1)
    process.send?.(round)
    // A turn of the loop, so that what is told leaves.
    await new Promise(resolve => setImmediate(resolve))
  }
}
