import { randomInt } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { DISTURBANCES } from '../linearizability/disturbances.ts'
import { NODES } from '../linearizability/kv-processes.ts'
import { KeyValueRun } from '../linearizability/kv-run.ts'
import { DefectiveStore, PLANTED_DEFECTS } from '../linearizability/planted-defects.ts'
import { seededRandom, shuffled } from '../linearizability/random-history.ts'

/** Decides what clients ask for and in which order things happen; when, is up to the machine. */
const SEED = Number(process.env.KV_SEED ?? randomInt(2 ** 31))
/** How often a defect may escape what usually shows it. */
const TRIES_MAX = 5

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

describe('examples/kv', () => {
  it('the history of its clients is linearizable under kills, stops and partitions', async () => {
    say(`KV_SEED=${SEED}`)
    await using run = await KeyValueRun.start(SEED)
    await run.progress()
    for (const [name, disturb] of shuffled(Object.entries(DISTURBANCES), seededRandom(SEED))) {
      say(`  ${name}`)
      await disturb(run)
    }
    const last = await run.lastReads()
    expect(last).toHaveLength(12)
    run.clients.check()

    const { history, reads } = run.clients
    const verdict = run.check()
    expect(verdict.type, `KV_SEED=${SEED}: ${'message' in verdict && verdict.message}`).toBe('linearizable')

    for (const id of NODES) expect(reads.get(`index ${id}`), `reads of node ${id}`).toBeGreaterThan(20)
    const leaders = NODES.filter(id => (reads.get(`lease ${id}`) ?? 0) > 0)
    expect(leaders.length, 'nodes that read under a lease').toBeGreaterThan(1)
    const unknown = history.filter(({ returnedAt }) => returnedAt === undefined).length
    const refused = history.filter(({ action }) => action.type === 'cas' && !action.done).length
    say(`  ${history.length} operations, ${unknown} of unknown outcome, ${refused} refused by a condition`)
    expect(history.length).toBeGreaterThan(500)
    expect(unknown).toBeGreaterThan(0)
    expect(refused).toBeGreaterThan(0)
  })

  for (const defect of PLANTED_DEFECTS) {
    // Mostly they wait for elections.
    it.concurrent(`the check finds: ${defect.says}`, async () => {
      using store = new DefectiveStore(defect)
      await using run = await KeyValueRun.start(SEED, store.main)
      await run.progress(10)
      for (let tries = 1; run.check().type !== 'violation' && tries <= TRIES_MAX; tries++) {
        await DISTURBANCES[defect.shownBy](run)
      }
      const verdict = run.check()
      expect(verdict.type, `KV_SEED=${SEED}`).toBe('violation')
      if ('message' in verdict) say(`  ${defect.says}: ${verdict.message}`)
    })
  }
})
